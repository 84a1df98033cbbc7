/** Whether two checkpoints share a backbone: decided by their bytes, never by their names. */
import { createHash } from 'node:crypto'
import { quantisationOf } from '../../checkpoint/quantised-tensor.ts'
import { streamTensor, type TensorStream } from '../../checkpoint/tensor-stream.ts'
import { checkpointError } from '../../errors.ts'
import { type Checkpoint, isTied } from '../../generation/index.ts'
import { backboneParameters } from '../../model/index.ts'

/** Where a stream set that is stored without its backbone says which one it belongs to (config.json). */
export const backboneDigestKey = 'parscale_backbone_sha256'

/** SHA-256, in hex, over name, type, shape and bytes of every tensor that all streams share. */
export async function backboneDigest(checkpoint: Checkpoint, signal?: AbortSignal): Promise<string> {
  const tensors = backboneParameters(checkpoint.config, isTied(checkpoint)).map(({ name }) => {
    const tensor = checkpoint.tensors.get(name)
    if (!tensor) throw checkpointError(`${checkpoint.path}: tensor ${name} is missing`, { file: checkpoint.path, tensor: name })
    return streamTensor(tensor)
  })
  return await tensorsDigest(tensors, signal)
}

/**
 * The same of a backbone that is not in a file yet: its tensors, in the order of backboneParameters.
 *
 * @param onBytes told the length of each piece that was read
 */
export async function tensorsDigest(
  tensors: readonly TensorStream[],
  signal?: AbortSignal,
  onBytes?: (bytes: number) => void,
): Promise<string> {
  const hash = createHash('sha256')
  for (const { name, dtype, shape, chunks } of tensors) {
    hash.update(`${name}\0${dtype}\0${shape}\0`)
    for await (const bytes of chunks()) {
      signal?.throwIfAborted()
      hash.update(bytes)
      onBytes?.(bytes.byteLength)
    }
  }
  return hash.digest('hex')
}

/** @throws checkpoint error when a stream set was trained on another backbone, or does not say on which */
export async function verifySameBackbone(
  backbone: Checkpoint,
  others: readonly Checkpoint[],
  signal?: AbortSignal,
): Promise<void> {
  if (others.length > 0) await verifyDigest(await originalDigest(backbone, signal), backbone.path, others, signal)
}

/** Of the floats that a backbone was made from, where it is quantised: streams were trained on those. */
async function originalDigest(backbone: Checkpoint, signal?: AbortSignal): Promise<string> {
  const quantised = quantisationOf(backbone.config.raw, backbone.path)
  if (!quantised) return await backboneDigest(backbone, signal)
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
  signal?: AbortSignal,
): Promise<void> {
  for (const other of others) {
    const whole = other.tensors.has('model.embed_tokens.weight')
    const found = whole ? await backboneDigest(other, signal) : other.config.raw[backboneDigestKey]
    if (found === expected) continue
    throw checkpointError(
      found === undefined
        ? `${other.path}: holds a stream set only, and its config.json does not name its backbone (${backboneDigestKey})`
        : `${other.path}: was trained on another backbone than ${path} (SHA-256 ${String(found).slice(0, 12)}…, expected ${expected.slice(0, 12)}…); its streams cannot be used with it`,
      { file: other.path, expected, found },
    )
  }
}
