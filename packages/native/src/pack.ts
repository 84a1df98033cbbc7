/**
 * From a checkpoint, quantised or not, to the packed file that the native step maps. Made once for each model; the bytes are the
 * same numbers in another order, so that nothing is rounded here but integer zero points to float32 minima.
 */
import { randomUUID } from 'node:crypto'
import { type FileHandle, open, rename, rm } from 'node:fs/promises'
import { unsupportedError } from '@parscale/core'
import { castBytes, type StoredDType } from '@parscale/core/checkpoint'
import type { DType } from '@parscale/core/graph'
import { type FindWeight, isQuantised, type ModelConfig, type PlainWeight, type StoredWeight } from '@parscale/core/model'
import { type Layout, lanes, planFile, type Role, tensorBytes } from './packed-layout.ts'
import { quantisedPanel, transposed } from './panels.ts'

export interface PackOptions {
  readonly onProgress?: (progress: { doneBytes: number; totalBytes: number }) => void
  readonly signal?: AbortSignal
}

/** A tensor of the checkpoint with its place in the packed file. */
interface Source {
  readonly layout: Layout
  readonly stored: StoredWeight
}

/**
 * Packs the backbone: embedding, decoder, output embedding.
 *
 * @param path written beside itself first, and renamed when it is whole
 * @param tied the output matrix is the embedding
 * @throws unsupported error for float types that no kernel reads; the signal's reason when aborted
 */
export function packBackbone(
  path: string,
  config: ModelConfig,
  find: FindWeight,
  tied: boolean,
  options: PackOptions = {},
): Promise<void> {
  const { hiddenSize: H, intermediateSize: I, headDim: D, vocabSize: V, attentionBias, mlpBias } = config
  const [Q, K] = [config.numAttentionHeads * D, config.numKeyValueHeads * D]
  const sources: Source[] = []
  const matrix = (role: Role, layer: number, name: string, outputs: number, inputs: number) =>
    sources.push(matrixSource(role, layer, find(`${name}.weight`, [outputs, inputs]), outputs, inputs))
  const vector = (role: Role, layer: number, name: string, size: number) =>
    sources.push(vectorSource(role, layer, find(name, [size]), size))
  const linear = (
    role: Role & `${'q' | 'k' | 'v' | 'o' | 'gate' | 'up' | 'down'}`,
    layer: number,
    at: string,
    out: number,
    inner: number,
    bias: boolean,
  ) => {
    matrix(role, layer, at, out, inner)
    if (bias) vector(`${role}Bias`, layer, `${at}.bias`, out)
  }
  matrix('embedding', 0, 'model.embed_tokens', V, H)
  if (!tied) matrix('output', 0, 'lm_head', V, H)
  vector('finalNorm', 0, 'model.norm.weight', H)
  for (let layer = 0; layer < config.numHiddenLayers; layer++) {
    const at = `model.layers.${layer}`
    vector('inputNorm', layer, `${at}.input_layernorm.weight`, H)
    linear('q', layer, `${at}.self_attn.q_proj`, Q, H, attentionBias.qkv)
    linear('k', layer, `${at}.self_attn.k_proj`, K, H, attentionBias.qkv)
    linear('v', layer, `${at}.self_attn.v_proj`, K, H, attentionBias.qkv)
    if (config.qkNorm) {
      vector('qNorm', layer, `${at}.self_attn.q_norm.weight`, D)
      vector('kNorm', layer, `${at}.self_attn.k_norm.weight`, D)
    }
    linear('o', layer, `${at}.self_attn.o_proj`, H, Q, attentionBias.o)
    vector('postNorm', layer, `${at}.post_attention_layernorm.weight`, H)
    linear('gate', layer, `${at}.mlp.gate_proj`, I, H, mlpBias)
    linear('up', layer, `${at}.mlp.up_proj`, I, H, mlpBias)
    linear('down', layer, `${at}.mlp.down_proj`, H, I, mlpBias)
  }
  return writePacked(path, config, 'backbone', sources, options)
}

/** Packs the network that weighs the streams of a stream set (`dynamic` aggregation). */
export function packAggregator(path: string, config: ModelConfig, find: FindWeight, options: PackOptions = {}): Promise<void> {
  const { hiddenSize: H } = config
  const { n: P, aggregation } = config.parscale
  if (aggregation !== 'dynamic') throw unsupportedError(`native step: ${aggregation} aggregation has no weights to pack`)
  const at = 'model.aggregate_layer'
  return writePacked(
    path,
    config,
    'aggregator',
    [
      matrixSource('aggregatorInner', 0, find(`${at}.0.weight`, [H, P * H]), H, P * H),
      vectorSource('aggregatorInnerBias', 0, find(`${at}.0.bias`, [H]), H),
      matrixSource('aggregatorOuter', 0, find(`${at}.2.weight`, [P, H]), P, H),
      vectorSource('aggregatorOuterBias', 0, find(`${at}.2.bias`, [P]), P),
    ],
    options,
  )
}

function matrixSource(role: Role, layer: number, stored: StoredWeight, outputs: number, inputs: number): Source {
  const shape = { role, layer, outputs, inputs, isVector: false }
  if (isQuantised(stored)) {
    const { bits, blockSize, zeroPoints } = stored
    return { stored, layout: { ...shape, format: bits === 8 ? 'int8' : 'int4', blockSize, hasMinima: zeroPoints !== undefined } }
  }
  const format = stored.dtype === 'bfloat16' ? 'bfloat16' : 'float32'
  return { stored, layout: { ...shape, format, blockSize: 0, hasMinima: false } }
}

const vectorSource = (role: Role, layer: number, stored: StoredWeight, size: number): Source => ({
  stored,
  layout: { role, layer, outputs: size, inputs: 1, isVector: true, format: 'float32', blockSize: 0, hasMinima: false },
})

async function writePacked(
  path: string,
  config: ModelConfig,
  kind: 'backbone' | 'aggregator',
  sources: readonly Source[],
  { onProgress, signal }: PackOptions,
): Promise<void> {
  const { header, offsets, totalBytes } = planFile(
    config,
    kind,
    sources.map(({ layout }) => layout),
  )
  const partial = `${path}.partial-${randomUUID()}`
  const files = new SourceFiles()
  try {
    const out = await open(partial, 'wx')
    try {
      await out.write(header, 0, header.byteLength, 0)
      for (const [i, source] of sources.entries()) {
        let at = offsets[i]!
        for await (const bytes of source.layout.isVector ? vectorBytes(files, source) : matrixBytes(files, source)) {
          signal?.throwIfAborted()
          await out.write(bytes, 0, bytes.byteLength, at)
          at += bytes.byteLength
          onProgress?.({ doneBytes: at, totalBytes })
        }
      }
      await out.truncate(totalBytes)
      await out.sync()
    } finally {
      await out.close()
    }
    await rename(partial, path)
  } catch (error) {
    await rm(partial, { force: true })
    throw error
  } finally {
    await files.close()
  }
}

async function* vectorBytes(files: SourceFiles, { stored, layout }: Source): AsyncGenerator<Uint8Array> {
  const floats = await files.floats(stored as PlainWeight, 0, layout.outputs)
  yield new Uint8Array(floats.buffer, floats.byteOffset, floats.byteLength)
}

/** Bytes of source rows that are turned into panels at once. */
const sourceBytesAtOnce = 4 << 20

async function* matrixBytes(files: SourceFiles, source: Source): AsyncGenerator<Uint8Array> {
  const { stored, layout } = source
  const { outputs, inputs } = layout
  const total = Math.ceil(outputs / lanes)
  const perPanel = tensorBytes(layout) / total
  const several = Math.max(1, Math.floor(sourceBytesAtOnce / perPanel))
  for (let first = 0; first < total; first += several) {
    const count = Math.min(several, total - first)
    const rows = Math.min(outputs, (first + count) * lanes) - first * lanes
    const bytes = new Uint8Array(count * perPanel)
    const panels = isQuantised(stored)
      ? await quantisedPanels(files, layout, stored, first * lanes, rows)
      : await floatPanels(files, layout, stored, first * lanes, rows)
    for (let panel = 0; panel < count; panel++)
      bytes.set(panels(panel * lanes, Math.min(lanes, rows - panel * lanes)), panel * perPanel)
    yield bytes
  }

  async function floatPanels(files: SourceFiles, layout: Layout, stored: PlainWeight, from: number, rows: number) {
    const data =
      layout.format === 'bfloat16'
        ? new Uint16Array(await files.read(stored.data, from * inputs * 2, rows * inputs * 2))
        : await files.floats(stored, from * inputs, rows * inputs)
    return (row: number, count: number): Uint8Array => {
      const part = data.subarray(row * inputs, (row + count) * inputs)
      const out = part instanceof Uint16Array ? new Uint16Array(inputs * lanes) : new Float32Array(inputs * lanes)
      transposed(part as Float32Array, inputs, out as Float32Array)
      return new Uint8Array(out.buffer)
    }
  }

  async function quantisedPanels(
    files: SourceFiles,
    layout: Layout,
    stored: Extract<StoredWeight, { blockSize: number }>,
    from: number,
    rows: number,
  ) {
    const blocks = inputs / stored.blockSize
    const rowBytes = (inputs * stored.bits) / 8
    const data = new Uint8Array(await files.read(stored.data, from * rowBytes, rows * rowBytes))
    const scales = new Float32Array(await files.read(stored.scales, from * blocks * 4, rows * blocks * 4))
    const zeros = stored.zeroPoints && (await zeroPoints(files, stored, blocks, from, rows))
    return (row: number, count: number): Uint8Array =>
      quantisedPanel(
        layout,
        data.subarray(row * rowBytes, (row + count) * rowBytes),
        scales.subarray(row * blocks, (row + count) * blocks),
        zeros?.subarray(row * blocks, (row + count) * blocks),
      )
  }
}

/** [rows, blocks], whether they are stored as floats or as integers of as many bits as the data. */
async function zeroPoints(
  files: SourceFiles,
  { bits, zeroPoints }: Extract<StoredWeight, { blockSize: number }>,
  blocks: number,
  from: number,
  rows: number,
): Promise<Float32Array> {
  if (zeroPoints!.dtype === 'float32')
    return new Float32Array(await files.read(zeroPoints!.data, from * blocks * 4, rows * blocks * 4))
  const rowBytes = Math.ceil((blocks * bits) / 8)
  const packed = new Uint8Array(await files.read(zeroPoints!.data, from * rowBytes, rows * rowBytes))
  return Float32Array.from({ length: rows * blocks }, (_, i) => {
    const [row, block] = [Math.floor(i / blocks), i % blocks]
    if (bits === 8) return packed[row * rowBytes + block]!
    return (packed[row * rowBytes + (block >> 1)]! >> (4 * (block & 1))) & 15
  })
}

const dtypes: Partial<Record<DType, StoredDType>> = { float32: 'F32', float16: 'F16', bfloat16: 'BF16' }

/** Reads parts of a checkpoint's files, each of which is opened once. */
class SourceFiles {
  readonly #open = new Map<string, Promise<FileHandle>>()

  async read({ path, offset, byteLength }: PlainWeight['data'], from: number, length: number): Promise<ArrayBuffer> {
    let file = this.#open.get(path)
    if (!file) {
      file = open(path, 'r')
      this.#open.set(path, file)
    }
    const bytes = new Uint8Array(Math.min(length, Math.max(0, byteLength - from)))
    const { bytesRead } = await (await file).read(bytes, 0, bytes.byteLength, offset + from)
    if (bytesRead !== length)
      throw unsupportedError(`${path}: ends within a tensor, ${length} bytes were expected at ${offset + from}`)
    return bytes.buffer
  }

  /** `count` numbers from number `from` on, as float32. */
  async floats({ dtype, data }: PlainWeight, from: number, count: number): Promise<Float32Array> {
    const stored = dtypes[dtype]
    if (!stored)
      throw unsupportedError(`${data.path}: a weight is stored as ${dtype}; the native step reads float32, float16 and bfloat16`)
    const elementBytes = stored === 'F32' ? 4 : 2
    const bytes = new Uint8Array(await this.read(data, from * elementBytes, count * elementBytes))
    const wide = castBytes(bytes, stored, 'F32')
    return new Float32Array(wide.buffer, wide.byteOffset, count)
  }

  async close(): Promise<void> {
    for (const file of this.#open.values()) await (await file).close()
  }
}
