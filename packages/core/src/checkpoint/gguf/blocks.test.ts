import { readFile } from 'node:fs/promises'
import { beforeAll, expect, it } from 'vitest'
import { bytesSource } from '../byte-source.ts'
import { dequantiseBlocks } from '../quantise.ts'
import { castBytes } from '../read-tensor.ts'
import { blockFormats, decodeBlocks, type GgmlType } from './blocks.ts'
import { type GgufTensor, parseGguf } from './gguf.ts'
import { carriedFormat, carryBlocks } from './quantised.ts'

// Blocks and their dequantisation by PyPI's gguf: fixtures/gguf/README.md.
let tensors: ReadonlyMap<string, GgufTensor>
const data = async (name: string): Promise<Uint8Array> => {
  const { source, offset, byteLength } = tensors.get(name)!
  return await source.read(offset, byteLength)
}
/** Bit patterns of float32, for messages that can be read. */
const words = (bytes: Uint8Array) => Array.from(new Uint32Array(bytes.slice().buffer), (word) => word.toString(16))

beforeAll(async () => {
  const file = await readFile(new URL('../../../../../fixtures/gguf/blocks.gguf', import.meta.url))
  tensors = (await parseGguf(bytesSource(new Uint8Array(file), 'blocks.gguf'))).tensors
})

const types = (Object.keys(blockFormats) as GgmlType[]).filter((type) => type !== 'F32')

it.each(types)('%s blocks decode to the bits that gguf decodes them to', async (type) => {
  const decoded = decodeBlocks(type, await data(type))
  expect(words(new Uint8Array(decoded.buffer))).toEqual(words(await data(`${type}.expected`)))
})

const quantised = types.filter((type) => blockFormats[type].groups)

it.each(quantised)('%s blocks with scales that are NaN, infinite, huge, subnormal or zero', async (type) => {
  const bytes = await data(`${type}.special`)
  const expected = new Float32Array((await data(`${type}.special.expected`)).slice().buffer)
  expect(expected.some(Number.isNaN)).toBe(true)
  expect([...decodeBlocks(type, bytes)]).toEqual([...expected])

  // As integers: what is not finite has a scale or a zero point that is refused when it is loaded, all else is the same number.
  const format = carriedFormat(type, 8)!
  const blocks = carryBlocks(type, bytes)
  const carried = dequantiseBlocks(blocks, format)
  for (const [block, scale] of blocks.scales.entries()) {
    const zero = blocks.zeroPoints?.[block] ?? 0
    const from = block * format.blockSize
    const wanted = expected.slice(from, from + format.blockSize)
    if (!Number.isFinite(scale) || !Number.isFinite(zero)) continue
    for (const [i, x] of wanted.entries())
      expect(Math.abs(carried[from + i]! - x)).toBeLessThanOrEqual(1e-6 * Math.max(Math.abs(x), Math.abs(scale * zero)))
  }
})

it('F32 is itself', async () => {
  const bytes = await data('narrow.F32')
  expect(words(new Uint8Array(decodeBlocks('F32', bytes).buffer))).toEqual(words(bytes))
})

it.each(['F16', 'BF16'] as const)('float32 narrows to %s as numpy and gguf narrow it', async (dtype) => {
  expect(words(castBytes(await data('narrow.F32'), 'F32', dtype))).toEqual(words(await data(`narrow.${dtype}`)))
})
