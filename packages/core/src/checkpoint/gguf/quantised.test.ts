import { readFile } from 'node:fs/promises'
import { beforeAll, describe, expect, it } from 'vitest'
import { bytesSource } from '../byte-source.ts'
import { dequantiseBlocks } from '../quantise.ts'
import { blockFormats, type GgmlType } from './blocks.ts'
import { type GgufTensor, parseGguf } from './gguf.ts'
import { carriedFormat, carryBlocks } from './quantised.ts'

// Blocks, among them those of one value and those of extreme scales, and what PyPI's gguf makes of them: fixtures/gguf/README.md.
let tensors: ReadonlyMap<string, GgufTensor>
const data = async (name: string): Promise<Uint8Array> => {
  const { source, offset, byteLength } = tensors.get(name)!
  return await source.read(offset, byteLength)
}
beforeAll(async () => {
  const file = await readFile(new URL('../../../../../fixtures/gguf/blocks.gguf', import.meta.url))
  tensors = (await parseGguf(bytesSource(new Uint8Array(file), 'blocks.gguf'))).tensors
})

const quantisedTypes = (Object.keys(blockFormats) as GgmlType[]).filter((type) => blockFormats[type].groups)
const withMinimum = quantisedTypes.filter((type) => blockFormats[type].groups!.minimum)
const withoutMinimum = quantisedTypes.filter((type) => !blockFormats[type].groups!.minimum)

async function carried(type: GgmlType) {
  const format = carriedFormat(type, 8)!
  const blocks = carryBlocks(type, await data(type))
  const expected = new Float32Array((await data(`${type}.expected`)).slice().buffer)
  return { format, blocks, expected, found: dequantiseBlocks(blocks, format) }
}

describe('integers of GGUF blocks are kept', () => {
  it.each(withoutMinimum)('%s: every weight is the same number', async (type) => {
    const { expected, found } = await carried(type)
    expect(found.map((x) => x + 0)).toEqual(expected.map((x) => x + 0)) // + 0: the same zero
  })

  it.each(withMinimum)('%s: every weight is the same but for float32 rounding', async (type) => {
    const { format, blocks, expected, found } = await carried(type)
    expect(blocks.zeroPoints).toHaveLength(blocks.scales.length)
    for (const [i, x] of expected.entries()) {
      const block = Math.floor(i / format.blockSize)
      const span = Math.abs(blocks.scales[block]!) * (Math.abs(blocks.zeroPoints![block]!) + 31)
      // Zero point, difference, product and the expected sum are each rounded once, to half of 2^-23 of what they are made of.
      expect(Math.abs(found[i]! - x)).toBeLessThanOrEqual(2 * 2 ** -23 * span)
    }
  })

  it('a block of one value, whose scale is 0', () => {
    const block = new Uint8Array(20)
    new DataView(block.buffer).setUint16(2, 0x3c00, true) // scale 0, minimum 1
    block.fill(0x5a, 4)
    const found = dequantiseBlocks(carryBlocks('Q4_1', block), carriedFormat('Q4_1', 4)!)
    expect(new Set(found)).toEqual(new Set([1]))
  })
})

it('4 bits take blocks of 4 bits only, 8 take all, floats have none', () => {
  const kept = (bits: number) => (Object.keys(blockFormats) as GgmlType[]).filter((type) => carriedFormat(type, bits))
  expect(kept(4)).toEqual(['Q4_0', 'Q4_1', 'Q4_K'])
  expect(kept(8)).toEqual(['Q4_0', 'Q4_1', 'Q5_0', 'Q5_1', 'Q8_0', 'Q4_K', 'Q5_K', 'Q6_K'])
})
