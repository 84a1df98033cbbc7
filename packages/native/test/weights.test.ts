/** Products with every kind of weights, through the output embedding, against sums in float64 of the same numbers. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createRandom } from '@parscale/core/internal'
import { type FindWeight, type ModelConfig, plainFeatures, type StoredWeight } from '@parscale/core/internal/model'
import { afterAll, describe, expect, it } from 'vitest'
import { instructionSets, NativeModel, planBackbone, writePacked } from '../src/index.ts'

const folder = mkdtempSync(join(tmpdir(), 'parscale-native-'))
afterAll(() => rmSync(folder, { recursive: true }))

// A vocabulary of no whole panels, and a hidden size of several blocks.
const [V, H, I] = [75, 256, 32]
const config = {
  vocabSize: V,
  hiddenSize: H,
  intermediateSize: I,
  numHiddenLayers: 1,
  numAttentionHeads: 2,
  numKeyValueHeads: 1,
  headDim: 16,
  rmsNormEps: 1e-6,
  attentionBias: { qkv: false, o: false },
  mlpBias: false,
  qkNorm: false,
  slidingWindows: [null],
  features: plainFeatures,
  parscale: { n: 1, attnSmooth: 0 },
} as unknown as ModelConfig

const random = createRandom(7)
const uniform = (): number => random.uniform() * 2 - 1

/** Writes arrays one behind the other; gives where each lies. */
function file(name: string, arrays: readonly ArrayBufferView[]) {
  const path = join(folder, name)
  const bytes = Buffer.concat(arrays.map((a) => Buffer.from(a.buffer, a.byteOffset, a.byteLength)))
  writeFileSync(path, bytes)
  let offset = 0
  return arrays.map(({ byteLength }) => {
    offset += byteLength
    return { path, offset: offset - byteLength, byteLength }
  })
}

/** A random matrix [V, H] of a kind, and its numbers. */
function matrix(kind: string): { stored: StoredWeight; values: Float64Array } {
  if (kind === 'float32' || kind === 'float16' || kind === 'bfloat16') {
    // Multiples of 1/64 between -1 and 1 are exact in all three.
    const numbers = Float32Array.from({ length: V * H }, () => Math.round(uniform() * 64) / 64)
    const halves = { float16: toHalf, bfloat16: (x: number) => new Uint32Array(Float32Array.of(x).buffer)[0]! >>> 16 }
    const data = kind === 'float32' ? numbers : Uint16Array.from(numbers, halves[kind])
    return { stored: { dtype: kind, data: file(kind, [data])[0]! }, values: Float64Array.from(numbers) }
  }
  const [, bitsText, blockText, zero] = /^int(\d) block (\d+)(.*)$/.exec(kind)!
  const [bits, blockSize] = [Number(bitsText) as 4 | 8, Number(blockText)]
  const blocks = H / blockSize
  const integers = Uint8Array.from({ length: V * H }, () => Math.floor(random.uniform() * 2 ** bits))
  const scales = Float32Array.from({ length: V * blocks }, () => 0.01 + 0.01 * random.uniform())
  const middle = 2 ** (bits - 1)
  const zeros = Float32Array.from({ length: V * blocks }, () => {
    if (zero === '') return middle
    return zero === ', uint8 zeros' ? Math.floor(random.uniform() * 2 ** bits) : middle + uniform() * middle
  })
  const packed = (numbers: ArrayLike<number>, perRow: number): Uint8Array => {
    if (bits === 8) return Uint8Array.from(numbers)
    const rowBytes = Math.ceil(perRow / 2)
    const out = new Uint8Array(V * rowBytes)
    for (let i = 0; i < numbers.length; i++) {
      out[Math.floor(i / perRow) * rowBytes + ((i % perRow) >> 1)]! |= numbers[i]! << (4 * ((i % perRow) & 1))
    }
    return out
  }
  const asIntegers = zero === ', uint8 zeros'
  const [data, scalesAt, zerosAt] = file(kind.replaceAll(' ', '-'), [
    packed(integers, H),
    scales,
    asIntegers ? packed(zeros, blocks) : zeros,
  ])
  const zeroPoints = zero === '' ? undefined : { dtype: asIntegers ? ('uint8' as const) : ('float32' as const), data: zerosAt! }
  const values = Float64Array.from(integers, (q, i) => {
    const block = Math.floor(i / H) * blocks + Math.floor((i % H) / blockSize)
    return (q - zeros[block]!) * scales[block]!
  })
  return { stored: { bits, blockSize, data: data!, scales: scalesAt!, zeroPoints }, values }
}

/** Float16 of a multiple of 1/64 between -1 and 1. */
function toHalf(x: number): number {
  if (x === 0) return 0
  const exponent = Math.floor(Math.log2(Math.abs(x)))
  return (x < 0 ? 0x8000 : 0) | ((exponent + 15) << 10) | ((Math.abs(x) / 2 ** exponent - 1) * 1024)
}

const kinds = [
  'float32',
  'float16',
  'bfloat16',
  ...[4, 8].flatMap((bits) => [16, 32, 128, 256].map((block) => `int${bits} block ${block}`)),
  ...['int4 block 32', 'int8 block 16', 'int4 block 256'].flatMap((kind) => [`${kind}, uint8 zeros`, `${kind}, float zeros`]),
]

describe.each(kinds)('%s', (kind) => {
  it('gives products of 1 to 64 rows that are those of its numbers, with every instruction set', async () => {
    const { stored, values } = matrix(kind)
    const zerosOf = (shape: readonly number[]): StoredWeight => {
      const [data] = file('zeros', [new Float32Array(shape.reduce((a, b) => a * b, 1))])
      return { dtype: 'float32', data: data! }
    }
    const find: FindWeight = (name, shape) => (name === 'model.embed_tokens.weight' ? stored : zerosOf(shape))
    const path = join(folder, `packed-${kind.replaceAll(' ', '-')}`)
    await writePacked(path, planBackbone(config, find, true), 2)
    for (const instructionSet of instructionSets()) {
      const model = new NativeModel(path, { instructionSet, threads: 2 })
      for (const rows of [1, 2, 3, 7, 16, 17, 26, 27, 28, 31, 32, 33, 40, 48, 49, 64]) {
        // Integers with a 127 in each block: rounding inputs to 8 bits changes nothing.
        const hidden = Float32Array.from({ length: rows * H }, (_, i) => (i % 16 === 3 ? 127 : Math.round(uniform() * 127)))
        const logits = await model.logits(hidden)
        for (let row = 0; row < rows; row++) {
          for (let v = 0; v < V; v++) {
            let [sum, size] = [0, 0]
            for (let h = 0; h < H; h++) {
              const product = values[v * H + h]! * hidden[row * H + h]!
              sum += product
              size += Math.abs(product)
            }
            // Sums in float32 of numbers whose magnitudes are `size` together.
            if (!(Math.abs(logits[row * V + v]! - sum) <= 2e-6 * size)) {
              expect.fail(`${instructionSet}: row ${row}, output ${v} is ${logits[row * V + v]}, expected ${sum}`)
            }
          }
        }
      }
      await model.dispose()
    }
  })
})
