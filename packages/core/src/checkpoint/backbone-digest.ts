/** Whether two checkpoints share a backbone: decided by their bytes, never by their names. */
import { checkpointError } from '../errors.ts'
import { backboneParameters } from '../model/parameters.ts'
import { type Checkpoint, isTied } from './open-checkpoint.ts'
import { quantisationOf } from './quantised-tensor.ts'
import { streamTensor, type TensorStream } from './tensor-stream.ts'

/** Where a stream set that is stored without its backbone says which one it belongs to (config.json). */
export const backboneDigestKey = 'parscale_backbone_sha256'

/**
 * How bytes are hashed. WebCrypto hashes only what is in memory as a whole, so that a platform hands in one that takes pieces:
 * node:crypto's `createHash('sha256')`, say, or `sha256.create()` of @noble/hashes.
 */
export interface Hashing {
  /** Begins a SHA-256. */
  sha256(): { update(bytes: Uint8Array): unknown; digest(): Uint8Array }
  readonly signal?: AbortSignal | undefined
  /** Told the length of each piece that was read. */
  readonly onBytes?: ((bytes: number) => void) | undefined
}

/** SHA-256, in hex, over name, type, shape and bytes of every tensor that all streams share. */
export async function backboneDigest(checkpoint: Checkpoint, hashing: Hashing): Promise<string> {
  const tensors = backboneParameters(checkpoint.config, isTied(checkpoint)).map(({ name }) => {
    const tensor = checkpoint.tensors.get(name)
    if (!tensor) throw checkpointError(`${checkpoint.path}: tensor ${name} is missing`, { file: checkpoint.path, tensor: name })
    return streamTensor(tensor)
  })
  return await tensorsDigest(tensors, hashing)
}

/** The same of a backbone that is not in a file yet: its tensors, in the order of backboneParameters. */
export async function tensorsDigest(tensors: readonly TensorStream[], { sha256, signal, onBytes }: Hashing): Promise<string> {
  const hash = sha256()
  for (const { name, dtype, shape, chunks } of tensors) {
    hash.update(new TextEncoder().encode(`${name}\0${dtype}\0${shape}\0`))
    for await (const bytes of chunks()) {
      signal?.throwIfAborted()
      hash.update(bytes)
      onBytes?.(bytes.byteLength)
    }
  }
  return Array.from(hash.digest(), (byte) => byte.toString(16).padStart(2, '0')).join('')
}

/** @throws checkpoint error when a stream set was trained on another backbone, or does not say on which */
export async function verifySameBackbone(backbone: Checkpoint, others: readonly Checkpoint[], hashing: Hashing): Promise<void> {
  if (others.length > 0) await verifyDigest(await originalDigest(backbone, hashing), backbone.path, others, hashing)
}

/** Of the floats that a backbone was made from, where it is quantised: streams were trained on those. */
async function originalDigest(backbone: Checkpoint, hashing: Hashing): Promise<string> {
  const quantised = quantisationOf(backbone.config.raw, backbone.path)
  if (!quantised) return await backboneDigest(backbone, hashing)
  if (quantised.sourceBackboneDigest !== undefined) return quantised.sourceBackboneDigest
  throw checkpointError(
    `${backbone.path}: is quantised and does not say from which backbone (source_backbone_sha256), so that no stream set can be known to fit`,
    { file: backbone.path },
  )
}

/** @param expected the digest of the backbone, which lies at `path` @throws as verifySameBackbone */
export async function verifyDigest(
  expected: string,
  path: string,
  others: readonly Checkpoint[],
  hashing: Hashing,
): Promise<void> {
  for (const other of others) {
    const whole = other.tensors.has('model.embed_tokens.weight')
    const found = whole ? await backboneDigest(other, hashing) : other.config.raw[backboneDigestKey]
    if (found === expected) continue
    throw checkpointError(
      found === undefined
        ? `${other.path}: holds a stream set only, and its config.json does not name its backbone (${backboneDigestKey})`
        : `${other.path}: was trained on another backbone than ${path} (SHA-256 ${String(found).slice(0, 12)}…, expected ${expected.slice(0, 12)}…); its streams cannot be used with it`,
      { file: other.path, expected, found },
    )
  }
}
