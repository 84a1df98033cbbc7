import { readFile } from 'node:fs/promises'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { ErrorKind } from '../errors.ts'
import { bytesSource } from './byte-source.ts'
import { readChunks, readF32 } from './read-tensor.ts'
import { parseSafetensors } from './safetensors.ts'
import { planShards, shardIndex, writeSafetensors } from './safetensors-writer.ts'
import { type AnyDType, dtypeBits, findTensor, sortTensors } from './tensor.ts'
import { castStream, streamTensor, type TensorStream } from './tensor-stream.ts'
import { join, safetensorsBytes, u64, utf8 } from './testing/bytes.ts'
import { memorySink } from './testing/memory-sink.ts'

const parse = (bytes: Uint8Array) => parseSafetensors(bytesSource(bytes, 'x.safetensors'))
const F32 = (shape: unknown, ...offsets: unknown[]) => ({ dtype: 'F32', shape, data_offsets: offsets })

describe('a well-formed file', () => {
  it('lists tensors in the order of their bytes, and metadata', async () => {
    const file = safetensorsBytes(
      { __metadata__: { format: 'pt' }, b: F32([2], 4, 12), a: F32([], 0, 4), empty: F32([0, 3], 4, 4) },
      new Uint8Array(Float32Array.of(1, 2, 3).buffer),
    )
    const { tensors, metadata } = await parse(file)
    expect(tensors.map((tensor) => tensor.name)).toEqual(['a', 'empty', 'b'])
    expect(metadata).toEqual({ format: 'pt' })
    const { tensors: store } = sortTensors(tensors)
    expect(await readF32(store.get('b')!)).toEqual(Float32Array.of(2, 3))
    expect(await readF32(store.get('empty')!)).toEqual(new Float32Array(0))
  })

  it('may be padded with spaces behind the header and may have no tensors', async () => {
    expect((await parse(safetensorsBytes('{}   ', 0))).tensors).toEqual([])
  })

  it('lists tensors of other types, which cannot be had as weights', async () => {
    const { tensors } = await parse(safetensorsBytes({ mask: { dtype: 'BOOL', shape: [4], data_offsets: [0, 4] } }, 4))
    const checkpoint = sortTensors(tensors)
    expect(checkpoint.otherTensors.get('mask')?.shape).toEqual([4])
    expect(findTensor(checkpoint, 'nothing')).toBeUndefined()
    expect(() => findTensor(checkpoint, 'mask')).toThrow(
      'x.safetensors: tensor mask is stored as BOOL; weights can be F32, F16 or BF16',
    )
  })

  it('F16 and BF16 widen exactly', async () => {
    const halves = new Uint8Array(Uint16Array.of(0x3c00, 0x0001, 0x3f80, 0xc2f7).buffer)
    const entries = {
      half: { dtype: 'F16', shape: [2], data_offsets: [0, 4] },
      bfloat: { dtype: 'BF16', shape: [2], data_offsets: [4, 8] },
    }
    const { tensors } = sortTensors((await parse(safetensorsBytes(entries, halves))).tensors)
    expect(await readF32(tensors.get('half')!)).toEqual(Float32Array.of(1, 2 ** -24))
    expect(await readF32(tensors.get('bfloat')!)).toEqual(Float32Array.of(1, -123.5))
  })
})

describe('a malformed file', () => {
  const valid = safetensorsBytes({ a: F32([2], 0, 8) }, 8)
  const cases: [what: string, bytes: Uint8Array, message: RegExp, kind?: ErrorKind][] = [
    ['is empty', new Uint8Array(0), /begins with 8 bytes of header length, but has 0 bytes/],
    ['ends within the header length', valid.subarray(0, 7), /has 7 bytes in all/],
    ['ends within the header', valid.subarray(0, 20), /the header claims \d+ bytes, but at most 12 can be there/],
    ['ends within the data', valid.subarray(0, -1), /tensor a: data_offsets should lie in order within the 7 bytes/],
    ['claims a header of 2^64 - 1 bytes', join(u64(2n ** 64n - 1n), utf8('{}')), /claims 18446744073709551615 bytes/],
    ['has bytes behind the data', join(valid, new Uint8Array(1)), /the tensors end at byte \d+, but the file has \d+/],
    ['has a header that is not UTF-8', join(u64(2), Uint8Array.of(0x7b, 0xff)), /header is not valid UTF-8/],
    ['has a header that is not JSON', safetensorsBytes('{"a":', 0), /header is not valid JSON/],
    ['has a header that begins with a byte order mark', safetensorsBytes('\ufeff{}', 0), /header is not valid JSON/],
    ['has a header that is a list', safetensorsBytes('[]', 0), /header should be a JSON object/],
    [
      'names a tensor twice',
      safetensorsBytes('{"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},"\\u0061":{}}', 0),
      /names "a" twice/,
    ],
    [
      'names a key twice',
      safetensorsBytes('{"a":{"dtype":"F32","dtype":"F16","shape":[],"data_offsets":[0,4]}}', 4),
      /names "dtype" twice/,
    ],
    ['nests deep', safetensorsBytes('{"a":'.repeat(40), 0), /header is nested more than 32 deep/],
    ['has an entry that is no object', safetensorsBytes({ a: 1 }, 0), /tensor a: its entry should be an object, got 1/],
    ['lacks a dtype', safetensorsBytes({ a: { shape: [], data_offsets: [0, 4] } }, 4), /tensor a: dtype should be a string/],
    [
      'has an unknown dtype',
      safetensorsBytes({ a: { dtype: 'Q4', shape: [8], data_offsets: [0, 4] } }, 4),
      /dtype "Q4" is not one/,
      'unsupported',
    ],
    [
      'has a dtype called toString',
      safetensorsBytes({ a: { dtype: 'toString', shape: [], data_offsets: [0, 4] } }, 4),
      /dtype "toString"/,
      'unsupported',
    ],
    ['has no shape', safetensorsBytes({ a: F32(null, 0, 4) }, 4), /shape should be a list of sizes, got null/],
    ['has a negative size', safetensorsBytes({ a: F32([-1], 0, 4) }, 4), /shape should be a list of sizes, got \[-1\]/],
    ['has a fractional size', safetensorsBytes({ a: F32([0.5, 2], 0, 4) }, 4), /shape should be a list of sizes/],
    [
      'has a size past the safe integers',
      safetensorsBytes('{"a":{"dtype":"F32","shape":[9007199254740993],"data_offsets":[0,4]}}', 4),
      /list of sizes/,
    ],
    [
      'has a shape whose product overflows',
      safetensorsBytes({ a: F32([2 ** 40, 2 ** 40], 0, 4) }, 4),
      /takes [\d.e+]+ bytes, got 4/,
    ],
    [
      'has a shape whose product is zero times infinity',
      safetensorsBytes({ a: F32([...Array(30).fill(2 ** 50), 0], 0, 0) }, 0),
      /takes NaN bytes/,
    ],
    ['has one offset', safetensorsBytes({ a: F32([1], 0) }, 4), /data_offsets should be two positions/],
    ['has offsets that are texts', safetensorsBytes({ a: F32([1], '0', '4') }, 4), /data_offsets should be two positions/],
    ['has offsets in reverse', safetensorsBytes({ a: F32([1], 4, 0) }, 4), /data_offsets should lie in order/],
    ['has offsets behind the end', safetensorsBytes({ a: F32([2], 0, 8) }, 4), /within the 4 bytes of data, got \[0,8\]/],
    [
      'has a length that is not that of its shape',
      safetensorsBytes({ a: F32([1], 0, 8) }, 8),
      /F32 of shape \[1\] takes 4 bytes, got 8/,
    ],
    [
      'has overlapping tensors',
      safetensorsBytes({ a: F32([2], 0, 8), b: F32([1], 4, 8) }, 8),
      /tensor b overlaps the one before it/,
    ],
    [
      'has the same bytes twice',
      safetensorsBytes({ a: F32([1], 0, 4), b: F32([1], 0, 4) }, 4),
      /tensor b overlaps the one before it/,
    ],
    ['has a hole', safetensorsBytes({ a: F32([1], 0, 4), b: F32([1], 8, 12) }, 12), /tensor b leaves a hole before it/],
    ['has a hole at the start', safetensorsBytes({ a: F32([1], 4, 8) }, 8), /tensor a leaves a hole before it/],
    ['has metadata that is no object', safetensorsBytes({ __metadata__: 'pt' }, 0), /__metadata__ should map strings to strings/],
    [
      'has metadata that are numbers',
      safetensorsBytes({ __metadata__: { epoch: 1 } }, 0),
      /__metadata__ should map strings to strings/,
    ],
  ]
  it.each(cases)('that %s is refused', async (_, bytes, message, kind = 'checkpoint') => {
    const refusal = expect(parse(bytes)).rejects
    await refusal.toThrow(message)
    await expect(parse(bytes)).rejects.toMatchObject({ kind, facts: { file: expect.stringContaining('x.safetensors') } })
  })

  it('that claims a header past the cap is refused before it is read', async () => {
    const reads: number[] = []
    const size = 200_000_000
    const source = {
      name: 'huge',
      size,
      read: async (_: number, length: number) => {
        reads.push(length)
        return u64(size - 8)
      },
    }
    await expect(parseSafetensors(source)).rejects.toThrow(/at most 100000000 can be there/)
    expect(reads).toEqual([8])
  })
})

describe('what is written', () => {
  const dtypes = Object.keys(dtypeBits) as AnyDType[]
  const tensor = fc
    .record({
      name: fc.string({ unit: 'binary' }).filter((name) => name !== '__metadata__'),
      dtype: fc.constantFrom(...dtypes),
      shape: fc.array(fc.integer({ min: 0, max: 5 }), { maxLength: 3 }),
    })
    // Types of 4 and 6 bits come in whole bytes only.
    .map((t) => ({ ...t, shape: dtypeBits[t.dtype] < 8 ? [...t.shape, 4] : t.shape }))
    .chain((t) => {
      const length = (t.shape.reduce((a, b) => a * b, 1) * dtypeBits[t.dtype]) / 8
      return fc.uint8Array({ minLength: length, maxLength: length }).map((bytes) => ({ ...t, bytes }))
    })
  const tensors = fc.uniqueArray(tensor, { selector: (t) => t.name, maxLength: 6 })

  it('reads back as it was, aligned, for any tensors', async () => {
    await fc.assert(
      fc.asyncProperty(tensors, async (list) => {
        const sink = memorySink()
        await writeSafetensors(
          sink,
          list.map(
            ({ bytes, ...t }): TensorStream => ({
              ...t,
              async *chunks() {
                yield bytes.subarray(0, 8)
                yield bytes.subarray(8)
              },
            }),
          ),
        )
        const { tensors: read, metadata } = await parse(sink.bytes())
        expect(metadata).toEqual({ format: 'pt' })
        expect(read.length).toBe(list.length)
        const byName = new Map(read.map((t) => [t.name, t]))
        for (const { name, dtype, shape, bytes } of list) {
          const found = byName.get(name)!
          expect({ dtype: found.dtype, shape: found.shape }).toEqual({ dtype, shape })
          expect(found.offset % Math.max(1, Math.floor(dtypeBits[dtype] / 8))).toBe(0)
          const stored: Uint8Array[] = []
          for await (const chunk of readChunks(found)) stored.push(chunk)
          expect(join(...stored)).toEqual(bytes)
        }
      }),
      { numRuns: 200 },
    )
  })

  it('fails when a tensor has fewer bytes than its shape', async () => {
    const short: TensorStream = {
      name: 'a',
      dtype: 'F32',
      shape: [2],
      async *chunks() {
        yield new Uint8Array(4)
      },
    }
    await expect(writeSafetensors(memorySink(), [short])).rejects.toThrow('tensor a: F32 of shape [2] takes 8 bytes, got 4')
  })

  it.each(['parscale-p4', 'parscale-p8-bf16'])('of the golden %s is the same data', async (name) => {
    const file = await readFile(new URL(`../../../../fixtures/goldens/${name}/model.safetensors`, import.meta.url))
    const { tensors: golden } = await parse(new Uint8Array(file))
    const sink = memorySink()
    await writeSafetensors(sink, golden.map(streamTensor))
    const { tensors: again } = await parse(sink.bytes())
    expect(again.length).toBe(golden.length)
    for (const [i, t] of again.entries()) {
      const expected = golden[i]!
      expect([t.name, t.dtype, t.shape]).toEqual([expected.name, expected.dtype, expected.shape])
      const [bytes, expectedBytes] = [t, expected].map(({ source, offset, byteLength }) => source.read(offset, byteLength))
      expect(Buffer.compare(await bytes!, await expectedBytes!), t.name).toBe(0)
    }
  })
})

it('a cast refuses numbers that do not fit, and keeps those that never were finite', async () => {
  const cast = async (...values: number[]) => {
    const bytes = new Uint8Array(Float32Array.from(values).buffer)
    const stream: TensorStream = {
      name: 'a',
      dtype: 'F32',
      shape: [values.length],
      async *chunks() {
        yield bytes
      },
    }
    const sink = memorySink()
    for await (const chunk of castStream(stream, 'F16').chunks()) await sink.write(chunk)
    return new Uint16Array(sink.bytes().buffer)
  }
  expect(await cast(65504, -Infinity, NaN)).toEqual(Uint16Array.of(0x7bff, 0xfc00, 0x7e00))
  await expect(cast(1, 65520)).rejects.toThrow('tensor a holds numbers too large for F16; choose a wider type')
})

describe('shards', () => {
  const stream = (name: string, elements: number): TensorStream => ({
    name,
    dtype: 'F32',
    shape: [elements],
    async *chunks() {
      yield new Uint8Array(elements * 4)
    },
  })

  it('one file where everything fits', () => {
    expect(planShards([stream('a', 1), stream('b', 2)], 12).map((shard) => shard.file)).toEqual(['model.safetensors'])
  })

  it('are filled in order, and a tensor larger than a file has its own', () => {
    const shards = planShards([stream('a', 1), stream('b', 9), stream('c', 1), stream('d', 1)], 8)
    expect(shards.map(({ file, tensors }) => [file, tensors.map((t) => t.name).join()])).toEqual([
      ['model-00001-of-00003.safetensors', 'a'],
      ['model-00002-of-00003.safetensors', 'b'],
      ['model-00003-of-00003.safetensors', 'c,d'],
    ])
    expect(shardIndex(shards)).toEqual({
      metadata: { total_size: 48 },
      weight_map: {
        a: 'model-00001-of-00003.safetensors',
        b: 'model-00002-of-00003.safetensors',
        c: 'model-00003-of-00003.safetensors',
        d: 'model-00003-of-00003.safetensors',
      },
    })
  })
})
