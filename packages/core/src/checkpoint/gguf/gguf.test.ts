import { readFile } from 'node:fs/promises'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { ErrorKind } from '../../errors.ts'
import { bytesSource } from '../byte-source.ts'
import { ggufText, join, u8, u32, u64, utf8 } from '../testing/bytes.ts'
import { arrayEntry, entry, writeGguf } from '../testing/gguf-writer.ts'
import { memorySink } from '../testing/memory-sink.ts'
import { blockFormats, type GgmlType } from './blocks.ts'
import { type GgufTensor, parseGguf } from './gguf.ts'

const parse = (bytes: Uint8Array) => parseGguf(bytesSource(bytes, 'x.gguf'))
const fixture = new URL('../../../../../fixtures/gguf/blocks.gguf', import.meta.url)

describe('a file by PyPI gguf', () => {
  it('gives metadata of every type and the places of tensors', async () => {
    const { version, metadata, tensors } = await parse(new Uint8Array(await readFile(fixture)))
    expect(version).toBe(3)
    expect(Object.fromEntries(metadata)).toEqual({
      'general.architecture': 'llama',
      'a.uint8': 250,
      'a.int8': -5,
      'a.uint16': 65000,
      'a.int16': -30000,
      'a.uint32': 4_000_000_000,
      'a.int32': -2_000_000_000,
      'a.uint64': 2n ** 63n + 1n,
      'a.int64': -(2n ** 62n) - 1n,
      'a.float32': Math.fround(0.1),
      'a.float64': 0.1,
      'a.bool': true,
      'a.string': '\ufeffgrüße, 世界 🌍',
      'a.strings': ['', 'a', 'Ġt'],
      'a.int32s': Int32Array.of(1, -2, 3),
      'a.float32s': Float32Array.of(0.5, -0.25),
      'a.bools': [true, false],
    })
    expect(tensors.get('Q6_K')).toMatchObject({ type: 'Q6_K', shape: [3, 512], byteLength: 3 * 2 * 210 })
  })

  it('reads the same as version 2', async () => {
    const bytes = new Uint8Array(await readFile(fixture))
    const three = await parse(bytes)
    bytes.set(u32(2), 4)
    const two = await parse(bytes)
    expect(two.version).toBe(2)
    expect(two.metadata).toEqual(three.metadata)
    expect([...two.tensors.keys()]).toEqual([...three.tensors.keys()])
  })
})

// Hand-made files: magic, version, tensor count, metadata count, then whatever the case is about.
const start = (tensors: number | bigint, metadata: number | bigint, version = 3) =>
  join(utf8('GGUF'), u32(version), u64(tensors), u64(metadata))
const tensorInfo = (name: string, shape: (number | bigint)[], type: number, offset: number | bigint) =>
  join(ggufText(name), u32(shape.length), ...shape.toReversed().map(u64), u32(type), u64(offset))
const room = new Uint8Array(4096)
const withValue = (...value: Uint8Array[]) => join(start(0, 1), ggufText('k'), ...value)
const alignment = (value: Uint8Array) => join(start(0, 1), ggufText('general.alignment'), value)

describe('a malformed file', () => {
  const cases: [what: string, bytes: Uint8Array, message: RegExp, kind?: ErrorKind][] = [
    ['is empty', new Uint8Array(0), /magic takes 4 bytes at 0, but the file ends at 0/],
    ['is no GGUF', utf8('PK\x03\x04xxxx'), /begins with "GGUF", got bytes 0x4034b50/],
    ['is of version 1', start(0, 0, 1), /GGUF version 1 is not supported; supported are 2 and 3/, 'unsupported'],
    ['is of version 4', start(0, 0, 4), /GGUF version 4 is not supported/, 'unsupported'],
    ['is big-endian', join(utf8('GGUF'), Uint8Array.of(0, 0, 0, 3), room), /the file is big-endian/, 'unsupported'],
    ['ends within the counts', start(0, 0).subarray(0, 20), /number of metadata entries takes 8 bytes at 16/],
    [
      'claims 2^64 - 1 tensors',
      start(2n ** 64n - 1n, 0),
      /number of tensors is 18446744073709551615, but the file has room for 0/,
    ],
    ['claims more tensors than fit', join(start(200, 0), room), /number of tensors is 200, but the file has room for 171/],
    [
      'claims more metadata than fit',
      join(start(0, 1000), room),
      /number of metadata entries is 1000, but the file has room for 315/,
    ],
    ['has a key longer than the file', join(start(0, 1), u64(1e9), room), /length of key of metadata entry 0 is 1000000000/],
    [
      'has a key that is not UTF-8',
      join(start(0, 1), u64(1), Uint8Array.of(0xff), room),
      /key of metadata entry 0 is not valid UTF-8/,
    ],
    ['has a key twice', join(start(0, 2), ggufText('k'), u32(0), u8(1), ggufText('k'), u32(0), u8(1)), /metadata k occurs twice/],
    [
      'has a value of an unknown type',
      withValue(u32(13), room),
      /metadata k has type 13; GGUF defines types 0 to 12/,
      'unsupported',
    ],
    ['has a boolean that is 2', withValue(u32(7), u8(2), room), /metadata k should be a boolean, 0 or 1, got 2/],
    ['has a text longer than the file', withValue(u32(8), u64(2n ** 62n), room), /length of metadata k is 4611686018427387904/],
    ['ends within a number', withValue(u32(12), u32(0)), /metadata k takes 8 bytes/],
    [
      'has an array longer than the file',
      withValue(u32(9), u32(10), u64(1e6), room),
      /length of metadata k is 1000000, but the file has room for 512/,
    ],
    ['has an array of 2^61 u64', withValue(u32(9), u32(10), u64(2n ** 61n), room), /length of metadata k is 2305843009213693952/],
    [
      'has more texts than fit',
      withValue(u32(9), u32(8), u64(600), room),
      /length of metadata k is 600, but the file has room for 512/,
    ],
    ['has an array of an unknown type', withValue(u32(9), u32(99), u64(0), room), /metadata k has type 99/, 'unsupported'],
    [
      'nests arrays five deep',
      withValue(
        ...Array(5)
          .fill(join(u32(9), u64(1)))
          .with(0, u32(9)),
        room,
      ),
      /nested more than 4 deep/,
    ],
    ['has an alignment of 0', alignment(join(u32(4), u32(0))), /general\.alignment should be a power of two from 8 on, got 0/],
    [
      'has an alignment of 24',
      alignment(join(u32(4), u32(24), room)),
      /general\.alignment should be a power of two from 8 on, got 24/,
    ],
    [
      'has an alignment in words',
      alignment(join(u32(8), ggufText('big'))),
      /general\.alignment should be a power of two from 8 on, got big/,
    ],
    ['has a tensor without axes', join(start(1, 0), tensorInfo('t', [], 0, 0), room), /tensor t should have 1 to 4 axes, got 0/],
    [
      'has a tensor of 2^31 axes',
      join(start(1, 0), ggufText('t'), u32(2 ** 31), room),
      /tensor t should have 1 to 4 axes, got 2147483648/,
    ],
    ['has an axis of size 0', join(start(1, 0), tensorInfo('t', [0], 0, 0), room), /tensor t has an axis of size 0/],
    [
      'has an axis of size 2^63',
      join(start(1, 0), tensorInfo('t', [2n ** 63n], 0, 0), room),
      /tensor t has an axis of size 9223372036854775808/,
    ],
    [
      'has a shape whose product overflows',
      join(start(1, 0), tensorInfo('t', [2n ** 40n, 2n ** 40n], 0, 0), room),
      /takes 4835703278458516698824704 bytes/,
    ],
    [
      'has a tensor of unknown type',
      join(start(1, 0), tensorInfo('t', [32], 77, 0), room),
      /tensor t is stored as an unknown type \(type 77\)/,
      'unsupported',
    ],
    [
      'has a tensor of IQ2_XS',
      join(start(1, 0), tensorInfo('t', [256], 17, 0), room),
      /tensor t is stored as IQ2_XS \(type 17\), which is not supported; supported are F32/,
      'unsupported',
    ],
    [
      'has rows that are no whole blocks',
      join(start(1, 0), tensorInfo('t', [2, 48], 2, 0), room),
      /rows of Q4_0 should be whole blocks of 32, got 48/,
    ],
    [
      'has a tensor off its alignment',
      join(start(1, 0), tensorInfo('t', [1], 0, 4), room),
      /tensor t takes 4 bytes at \d+, which should be aligned to 32/,
    ],
    [
      'has a tensor behind the end',
      join(start(1, 0), tensorInfo('t', [1], 0, 2n ** 40n), room),
      /and end by \d+; the file is cut short or damaged/,
    ],
    [
      'has an offset that wraps around',
      join(start(1, 0), tensorInfo('t', [1], 0, 2n ** 64n - 32n), room),
      /tensor t takes 4 bytes at 184467440737\d+/,
    ],
    ['ends within a tensor', join(start(1, 0), tensorInfo('t', [2000], 0, 0), room), /tensor t takes 8000 bytes/],
    [
      'has a tensor twice',
      join(start(2, 0), tensorInfo('t', [8], 0, 0), tensorInfo('t', [8], 0, 32), room),
      /tensor t occurs twice/,
    ],
    [
      'has overlapping tensors',
      join(start(2, 0), tensorInfo('t', [16], 0, 0), tensorInfo('u', [8], 0, 32), room),
      /tensors t and u overlap at byte/,
    ],
  ]
  it.each(cases)('that %s is refused', async (_, bytes, message, kind = 'checkpoint') => {
    await expect(parse(bytes)).rejects.toThrow(message)
    await expect(parse(bytes)).rejects.toMatchObject({ kind, facts: { file: 'x.gguf' } })
  })
})

it('what our own writer writes reads back, for any metadata and tensors', async () => {
  const name = fc.string({ unit: 'binary', maxLength: 12 })
  const value = fc.oneof(
    fc.integer({ min: 0, max: 2 ** 32 - 1 }).map((v) => ({ entry: entry('uint32', v), value: v })),
    fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }).map((v) => ({ entry: entry('int32', v), value: v })),
    fc.float().map((v) => ({ entry: entry('float32', v), value: v })),
    fc.double().map((v) => ({ entry: entry('float64', v), value: v })),
    fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }).map((v) => ({ entry: entry('uint64', v), value: v })),
    fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }).map((v) => ({ entry: entry('int64', v), value: v })),
    fc.boolean().map((v) => ({ entry: entry('bool', v), value: v })),
    name.map((v) => ({ entry: entry('string', v), value: v })),
    fc.array(name).map((v) => ({ entry: arrayEntry('string', v), value: v })),
    fc.array(fc.boolean()).map((v) => ({ entry: arrayEntry('bool', v), value: v })),
    fc.array(fc.nat()).map((v) => ({ entry: arrayEntry('int32', v), value: Int32Array.from(v) })),
  )
  const tensor = fc
    .record({
      name,
      type: fc.constantFrom(...(Object.keys(blockFormats) as GgmlType[])),
      rows: fc.array(fc.integer({ min: 1, max: 2 }), { maxLength: 3 }),
      blocks: fc.integer({ min: 1, max: 3 }),
    })
    .chain(({ name, type, rows, blocks }) => {
      const length = rows.reduce((a, b) => a * b, blocks * blockFormats[type].bytes)
      const shape = [...rows, blocks * blockFormats[type].elements]
      return fc.uint8Array({ minLength: length, maxLength: length }).map((bytes) => ({ name, type, shape, bytes }))
    })
  const metadata = fc.uniqueArray(fc.tuple(name, value), { selector: ([key]) => key, maxLength: 8 })
  const tensors = fc.uniqueArray(tensor, { selector: (t) => t.name, maxLength: 5 })
  await fc.assert(
    fc.asyncProperty(metadata, tensors, async (entries, list) => {
      // The alignment would move the data, and the writer knows only one.
      fc.pre(!entries.some(([key]) => key === 'general.alignment'))
      const sink = memorySink()
      const written = Object.fromEntries(entries.map(([key, { entry }]) => [key, entry]))
      await writeGguf(
        sink,
        written,
        list.map(({ bytes, ...t }) => ({ ...t, chunks: () => [bytes] })),
      )
      const read = await parse(sink.bytes())
      expect(new Map(read.metadata)).toEqual(new Map(entries.map(([key, { value }]) => [key, value])))
      expect([...read.tensors.keys()]).toEqual(list.map((t) => t.name))
      for (const { name, type, shape, bytes } of list) {
        const found: GgufTensor = read.tensors.get(name)!
        expect({ type: found.type, shape: found.shape }).toEqual({ type, shape })
        expect(Buffer.compare(await found.source.read(found.offset, found.byteLength), bytes)).toBe(0)
      }
    }),
    { numRuns: 100 },
  )
})
