/**
 * Models of a given shape with random weights, for speed and memory alone: what they say is noise. The bytes of layers
 * differ (equal ones would stay in the processor's cache and fake a speed), and what P streams cost does not depend on what
 * they learned.
 */
import { createRandom } from '@parscale/core'
import {
  blockSizeFor,
  configJson,
  defaultBlockSize,
  parscaleKeys,
  quantisationJson,
  scalesName,
  streamBytes,
  type TensorStream,
} from '@parscale/core/checkpoint'
import type { ModelShape } from '@parscale/core/cost'
import {
  backboneParameters,
  elementCount,
  type ModelConfig,
  type Parameter,
  parscaleConfig,
  streamParameters,
} from '@parscale/core/model'
import { type FolderContents, type WriteFolderOptions, writeModelFolder } from '@parscale/core/node'

/** Bits of a weight: of quantised matrices 8 or 4; 32 is plain float32. */
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
    bosTokenId: null,
    eosTokenIds: [],
    parscale: parscaleConfig({ n: 1 }),
    raw: {},
  }
}

/** Bytes of all its tensors: what it takes on disk. */
export function syntheticBytes(model: SyntheticModel): number {
  const { tensors, folders } = contents(model)
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
  await writeModelFolder(folder, contents(model), { ...options, maxShardBytes: Number.POSITIVE_INFINITY })
}

function contents({ shape, bits, streams }: SyntheticModel): FolderContents {
  const config = syntheticConfig(shape)
  const json = configJson(config, { tied: shape.tiedEmbeddings, dtype: 'F32' })
  const quantisation = bits === 32 ? {} : { quantization_config: quantisationJson({ bits, blockSize: defaultBlockSize }) }
  const sets = streams
    .filter((p) => p > 1)
    .map((p) => [`streams/p${p}`, streamSetContents(config, shape.prefixTokens, p)] as const)
  return {
    files: configFile({ ...json, ...quantisation }),
    tensors: backboneTensors(backboneParameters(config, shape.tiedEmbeddings), bits),
    folders: new Map(sets),
  }
}

/** Random prefixes and a random aggregator for P streams of any backbone. */
export function streamSetContents(config: ModelConfig, prefixTokens: number, p: number): FolderContents {
  const streams: ModelConfig = { ...config, parscale: parscaleConfig({ n: p, nTokens: prefixTokens }) }
  const json = configJson(config, { tied: config.tieWordEmbeddings ?? true, dtype: 'F32' })
  return {
    files: configFile({ ...json, ...parscaleKeys(streams.parscale) }),
    tensors: streamParameters(streams).map(({ name, shape }, i) => stream(name, 'F32', shape, values, 1000 * p + i)),
  }
}

const configFile = (json: object) => new Map([['config.json', new TextEncoder().encode(`${JSON.stringify(json, null, 2)}\n`)]])

/** Scales, then vectors, then matrices, each in the order of the layers: query, key and value are neighbours. */
function backboneTensors(parameters: readonly Parameter[], bits: WeightBits): TensorStream[] {
  const scales: TensorStream[] = []
  const vectors: TensorStream[] = []
  const matrices: TensorStream[] = []
  for (const [i, { name, shape, part }] of parameters.entries()) {
    const [rows, columns] = shape as [number, number | undefined]
    // Norms near 1 and biases near 0, so that hidden states stay of the size that they have in a trained model.
    if (columns === undefined) vectors.push(stream(name, 'F32', shape, part === 'norm' ? ones : values, i))
    else {
      const blockSize = bits === 32 ? undefined : blockSizeFor(columns, defaultBlockSize)
      if (bits === 32 || blockSize === undefined) matrices.push(stream(name, 'F32', shape, values, i))
      else {
        const blocks = columns / blockSize
        matrices.push(stream(name, 'U8', [rows, blocks, (blockSize * bits) / 8], codes, i))
        scales.push(stream(scalesName(name), 'F32', [rows, blocks], bits === 8 ? scales8 : scales4, i))
      }
    }
  }
  return [...scales, ...vectors, ...matrices]
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
