/**
 * Models of a given shape with random weights, for speed and memory alone: what they say is noise. The bytes of layers
 * differ (equal ones would stay in the processor's cache and fake a speed), and what P streams cost does not depend on what
 * they learned.
 */
import { createHash } from 'node:crypto'
import { createRandom } from '@parscale/core/internal'
import {
  blockSizeOf,
  blocksOf,
  castStream,
  configJson,
  parscaleKeys,
  quantisationJson,
  scalesName,
  streamBytes,
  type TensorStream,
} from '@parscale/core/internal/checkpoint'
import type { ModelShape } from '@parscale/core/internal/cost'
import {
  backboneParameters,
  elementCount,
  isFactor,
  type ModelConfig,
  type Parameter,
  type ParscaleOptions,
  parscaleConfig,
  plainFeatures,
  streamParameters,
} from '@parscale/core/internal/model'
import {
  backboneDigestKey,
  cacheAdvice,
  type FolderContents,
  tensorsDigest,
  type WriteFolderOptions,
  writeModelFolder,
} from '@parscale/core/internal/node'

/** Bits of a weight: 8 or 4 as `--bits` makes them; 32 is plain float32. */
export type WeightBits = 32 | 8 | 4

export interface SyntheticModel {
  readonly shape: ModelShape
  readonly bits: WeightBits
  /** P of the stream sets, which lie in `streams/pP`; 1 is the backbone itself. */
  readonly streams: readonly number[]
}

/** The plain model of this shape: of the published family, so Qwen2. */
export function syntheticConfig(shape: ModelShape): ModelConfig {
  return {
    ...shape,
    modelType: 'qwen2',
    rmsNormEps: 1e-6,
    ropeTheta: 1e6,
    ropeScaling: { type: 'default' },
    maxPositionEmbeddings: 32_768,
    tieWordEmbeddings: shape.tiedEmbeddings,
    slidingWindows: Array(shape.numHiddenLayers).fill(null),
    features: plainFeatures,
    bosTokenId: null,
    eosTokenIds: [],
    parscale: parscaleConfig({ n: 1 }),
    raw: {},
  }
}

/** Bytes of all its tensors: what it takes on disk. */
export function syntheticBytes(model: SyntheticModel): number {
  const { tensors, folders } = syntheticContents(model)
  return [tensors, ...[...folders!.values()].map((folder) => folder.tensors)]
    .flat()
    .reduce((sum, tensor) => sum + streamBytes(tensor), 0)
}

/**
 * Writes the model and its stream sets, all or nothing.
 *
 * @throws as writeModelFolder
 */
export async function writeSyntheticModel(
  folder: string,
  model: SyntheticModel,
  options: Pick<WriteFolderOptions, 'onProgress' | 'signal'>,
): Promise<void> {
  // In one file, so that the parts of a fused product are neighbours.
  await writeModelFolder(folder, syntheticContents(model, await digestOf(model, options.signal)), {
    ...options,
    advice: cacheAdvice,
    maxShardBytes: Number.POSITIVE_INFINITY,
  })
}

/** What stream sets know their backbone by. A random quantised one has no source to digest; its shape tells it from others. */
async function digestOf(model: SyntheticModel, signal: AbortSignal | undefined): Promise<string> {
  if (model.bits === 32) return await tensorsDigest(syntheticContents(model).tensors, signal)
  return createHash('sha256').update(JSON.stringify(model.shape)).digest('hex')
}

/** Its files and tensors. @param digest what stream sets know their backbone by */
export function syntheticContents({ shape, bits, streams }: SyntheticModel, digest?: string): FolderContents {
  const config = syntheticConfig(shape)
  const json = configJson(config, { tied: shape.tiedEmbeddings, dtype: 'F32' })
  const sets = streams
    .filter((p) => p > 1)
    .map((p) => [`streams/p${p}`, streamSetContents(config, { n: p, nTokens: shape.prefixTokens }, bits, digest)] as const)
  return {
    files: configFile({ ...json, ...quantisationKey(bits, digest) }),
    tensors: tensorsOf(backboneParameters(config, shape.tiedEmbeddings), bits, 0),
    folders: new Map(sets),
  }
}

/**
 * Random prefixes, or what else tells streams apart, and a random aggregator for streams of any backbone.
 *
 * @param bits of the backbone
 * @param digest the backbone's, where somebody will ask whether the two belong together
 */
export function streamSetContents(
  config: ModelConfig,
  choices: ParscaleOptions,
  bits: WeightBits,
  digest?: string,
): FolderContents {
  const streams: ModelConfig = { ...config, parscale: parscaleConfig(choices) }
  const json = configJson(config, { tied: config.tieWordEmbeddings ?? true, dtype: 'F32' })
  const keys = { ...parscaleKeys(streams.parscale), ...quantisationKey(bits, digest), [backboneDigestKey]: digest }
  return { files: configFile({ ...json, ...keys }), tensors: tensorsOf(streamParameters(streams), bits, 1000 * choices.n) }
}

const quantisationKey = (bits: WeightBits, digest: string | undefined) =>
  bits === 32
    ? {}
    : { quantization_config: quantisationJson({ bits, blockSize: blockSizeOf({ bits }), sourceBackboneDigest: digest }) }

const configFile = (json: object) => new Map([['config.json', new TextEncoder().encode(`${JSON.stringify(json, null, 2)}\n`)]])

/** Scales, then what stays as it is, then quantised matrices, each in the order of the layers: query, key and value are neighbours. */
function tensorsOf(parameters: readonly Parameter[], bits: WeightBits, seed: number): TensorStream[] {
  const scales: TensorStream[] = []
  const floats: TensorStream[] = []
  const halves: TensorStream[] = []
  const matrices: TensorStream[] = []
  for (const [i, parameter] of parameters.entries()) {
    const { name, shape, part } = parameter
    const blocks = bits === 32 ? undefined : blocksOf(parameter, { bits })
    // As the published prefixes.
    if (part === 'prefix') halves.push(castStream(stream(name, 'F32', shape, values, seed + i), 'BF16'))
    // Norms near 1 and the rest near 0, so that hidden states stay of the size that they have in a trained model.
    else if (blocks === undefined)
      floats.push(stream(name, 'F32', shape, part === 'norm' || isFactor(name) ? ones : values, seed + i))
    else {
      const [rows, columns] = shape as [number, number]
      const perRow = columns / blocks.blockSize
      matrices.push(stream(name, 'U8', [rows, perRow, (blocks.blockSize * blocks.bits) / 8], codes, seed + i))
      scales.push(stream(scalesName(name), 'F32', [rows, perRow], blocks.bits === 8 ? scales8 : scales4, seed + i))
    }
  }
  return [...scales, ...floats, ...halves, ...matrices]
}

/** Random bytes, made when first asked for. Tensors are cut out of them: making gigabytes anew would take minutes. */
type Pool = () => Uint8Array
const poolBytes = 1 << 24

function pool(make: (uint32: number) => number, as: 'floats' | 'integers' = 'floats'): Pool {
  let bytes: Uint8Array | undefined
  return () => {
    if (bytes) return bytes
    const random = createRandom(1)
    const numbers = new (as === 'floats' ? Float32Array : Uint32Array)(poolBytes / 4)
    for (let i = 0; i < numbers.length; i++) numbers[i] = make(random.uint32())
    bytes = new Uint8Array(numbers.buffer)
    return bytes
  }
}

/** Standard deviation 0.02, as models begin. */
const values = pool((uint32) => 0.07 * (uint32 / 2 ** 32 - 0.5))
const ones = pool(() => 1)
/** Uniform over 0 ... 2^bits - 1; with these scales weights have the same deviation. */
const codes = pool((uint32) => uint32, 'integers')
const scales8 = pool((uint32) => (0.5 + uint32 / 2 ** 32) * (0.07 / 2 ** 8))
const scales4 = pool((uint32) => (0.5 + uint32 / 2 ** 32) * (0.07 / 2 ** 4))

function stream(name: string, dtype: 'F32' | 'U8', shape: readonly number[], from: Pool, seed: number): TensorStream {
  return {
    name,
    dtype,
    shape,
    async *chunks() {
      const bytes = from()
      let left = elementCount(shape) * (dtype === 'F32' ? 4 : 1)
      // A multiple of 4, so that numbers stay whole; a prime number of them, so that many tensors begin at different places.
      for (let at = (seed * 4 * 104_729) % poolBytes; left > 0; at = 0) {
        const piece = bytes.subarray(at, Math.min(poolBytes, at + left))
        yield piece
        left -= piece.byteLength
      }
    },
  }
}
