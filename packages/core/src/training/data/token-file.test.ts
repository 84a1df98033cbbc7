import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { bytesSource } from '../../checkpoint/byte-source.ts'
import { join, u32, u64, utf8 } from '../../checkpoint/testing/bytes.ts'
import { memorySink } from '../../checkpoint/testing/memory-sink.ts'
import { isParscaleError } from '../../errors.ts'
import { crc32 } from './crc32.ts'
import type { EncodedDocument } from './documents.ts'
import { openTokenFile, type TokenFile } from './token-file.ts'
import { tokenFileWriter } from './token-file-writer.ts'

interface Contents {
  readonly vocabSize: number
  readonly masked: boolean
  readonly documents: readonly EncodedDocument[]
}

async function written({ vocabSize, masked, documents }: Contents, about: unknown = null): Promise<Uint8Array> {
  const sink = memorySink()
  const writer = await tokenFileWriter(sink, { vocabSize, masked, tokenizer: 'abc' })
  for (const document of documents) await writer.write(document)
  await writer.finish(about)
  return sink.bytes()
}

const open = (bytes: Uint8Array) => openTokenFile(bytesSource(bytes, 'x.tokens'))

const contents: fc.Arbitrary<Contents> = fc
  .record({ vocabSize: fc.constantFrom(1, 300, 2 ** 16, 2 ** 16 + 1, 2 ** 24), masked: fc.boolean() })
  .chain(({ vocabSize, masked }) => {
    const token = fc.tuple(fc.nat(vocabSize - 1), masked ? fc.nat(1) : fc.constant(1))
    const document = fc.array(token, { minLength: 1, maxLength: 12 }).map((tokens) => ({
      ids: Uint32Array.from(tokens, ([id]) => id),
      ...(masked && { counted: Uint8Array.from(tokens, ([, counted]) => counted) }),
    }))
    return fc.record({
      vocabSize: fc.constant(vocabSize),
      masked: fc.constant(masked),
      documents: fc.array(document, { maxLength: 6 }),
    })
  })

const readDocuments = (file: TokenFile): Promise<EncodedDocument[]> =>
  Promise.all([...file.ends].map((end, d) => file.read(file.ends[d - 1] ?? 0, end - (file.ends[d - 1] ?? 0))))

it('gives back what was written', async () => {
  await fc.assert(
    fc.asyncProperty(contents, fc.jsonValue(), async (given, about) => {
      const file = await open(await written(given, about))
      expect(await readDocuments(file)).toEqual(given.documents)
      expect(file.about).toEqual(JSON.parse(JSON.stringify(about)))
      const { vocabSize, masked, tokenizer, documents } = file
      expect({ vocabSize, masked, tokenizer, documents }).toEqual({
        ...given,
        tokenizer: 'abc',
        documents: given.documents.length,
      })
      await expect(file.read(0, file.tokens + 1)).rejects.toThrow(RangeError)
    }),
  )
})

const small = { vocabSize: 300, masked: false, documents: [{ ids: Uint32Array.of(1, 299, 3) }, { ids: Uint32Array.of(7) }] }

it('is laid out as docs/data.md says', async () => {
  const metadata = utf8('{"vocabSize":300,"masked":false,"tokenizer":"abc","about":null}')
  const ends = join(u64(3), u64(4))
  const counts = join(u64(4), u64(2), u32(metadata.length))
  const ids = Uint8Array.of(1, 0, 299 - 256, 1, 3, 0, 7, 0)
  const checksum = u32(crc32(join(ends, metadata, counts)))
  const expected = join(utf8('PSTOKENS'), u32(1), u32(2), ids, ends, metadata, counts, checksum, utf8('PSTKEND.'))
  expect(await written(small)).toEqual(expected)
})

it('has the checksum of zip', () => {
  expect(crc32(utf8('123456789'))).toBe(0xcbf43926) // the check value in every catalogue of CRCs
  expect(crc32(utf8('6789'), crc32(utf8('12345')))).toBe(0xcbf43926)
})

describe('refuses', () => {
  const change = (edit: (bytes: Uint8Array, view: DataView) => void) => (bytes: Uint8Array) => {
    edit(bytes, new DataView(bytes.buffer))
    return bytes
  }
  const at = 16 + 8 // ends: behind the header and four ids of two bytes

  it.each<[string, (bytes: Uint8Array) => Uint8Array, RegExp]>([
    ['an empty file', () => new Uint8Array(), /only 0 bytes/],
    ['a text', () => utf8('Once upon a time there was a file that held no tokens at all.'), /does not begin with PSTOKENS/],
    ['a later version', change((_, view) => view.setUint32(8, 2, true)), /version 2; this program reads version 1/],
    ['odd ids', change((_, view) => view.setUint32(12, 3, true)), /cannot take 3 bytes/],
    ['ids of another width', change((_, view) => view.setUint32(12, 4, true)), /parts take \d+ bytes, the file has/],
    ['a file that was cut off', (bytes) => bytes.subarray(0, -1), /its end is missing/],
    ['a file with something inserted', (bytes) => join(bytes.subarray(0, 20), bytes.subarray(18)), /parts take/],
    ['huge counts', change((bytes, view) => view.setBigUint64(bytes.length - 32, 2n ** 63n, true)), /parts take/],
    ['changed places', change((_, view) => view.setBigUint64(at, 2n, true)), /checksum/],
    ['changed metadata', change((bytes) => bytes.set(utf8('{"v0'), at + 16)), /checksum/],
  ])('%s', async (_, damage, message) => {
    await expect(open(damage(await written(small)))).rejects.toThrow(message)
    await expect(open(damage(await written(small)))).rejects.toSatisfy(isParscaleError)
  })

  /** Damage by someone who also corrects the checksum. */
  const forged = async (edit: (bytes: Uint8Array, view: DataView) => void) => {
    const bytes = await written(small)
    const view = new DataView(bytes.buffer)
    edit(bytes, view)
    view.setUint32(bytes.length - 12, crc32(bytes.subarray(at, -12)), true)
    return open(bytes)
  }

  it.each<[string, (bytes: Uint8Array, view: DataView) => void, RegExp]>([
    ['documents that end before they begin', (_, view) => view.setBigUint64(at, 5n, true), /document 1 ends at token 4/],
    ['documents that end elsewhere', (_, view) => view.setBigUint64(at + 8, 9n, true), /end at token 9, its tokens at 4/],
    ['metadata that is no JSON', (bytes) => bytes.set(utf8('['), at + 16), /metadata is not valid JSON/],
    ['metadata of another shape', (bytes) => bytes.set(utf8('{"vocabsize"'), at + 16), /metadata: vocabSize/],
    ['a vocabulary that needs wider ids', (bytes) => bytes.set(utf8('{"vocabSize":3e9'), at + 16), /metadata/],
  ])('%s', async (_, edit, message) => {
    await expect(forged(edit)).rejects.toThrow(message)
  })

  it('ids beyond the vocabulary, when they are read', async () => {
    const file = await forged((_, view) => view.setUint16(18, 300, true))
    expect((await file.read(2, 2)).ids).toEqual(Uint32Array.of(3, 7))
    await expect(file.read(0, 2)).rejects.toThrow('token 1 is 300, in a vocabulary of 300')
  })

  it('to write ids beyond the vocabulary and empty documents', async () => {
    const bad = (ids: Uint32Array) => written({ vocabSize: 300, masked: true, documents: [{ ids }] })
    await expect(bad(Uint32Array.of(300))).rejects.toThrow('token id 300 is not in the vocabulary of 300')
    await expect(bad(new Uint32Array())).rejects.toThrow('without tokens')
  })
})

it('survives a hostile hand: answers or a typed error, reads within the file', async () => {
  const valid = await written({ ...small, masked: true })
  const edits = fc.array(fc.tuple(fc.nat(valid.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 })
  const changed = fc.tuple(edits, fc.nat(valid.length), fc.boolean()).map(([list, cut, fix]) => {
    const bytes = valid.slice()
    for (const [position, value] of list) bytes[position] = value
    // Half of them get past the checksum.
    if (fix) new DataView(bytes.buffer).setUint32(bytes.length - 12, crc32(bytes.subarray(16 + 16, -12)), true)
    return cut % 5 === 0 ? bytes.subarray(0, cut) : bytes
  })
  const attempt = async (bytes: Uint8Array) => {
    const file = await open(bytes)
    const { ids } = await file.read(0, file.tokens)
    expect(ids.every((id) => id < file.vocabSize)).toBe(true)
  }
  await fc.assert(
    fc.asyncProperty(fc.oneof(changed, fc.uint8Array({ maxLength: 80 })), async (bytes) => {
      await attempt(bytes).catch((error) => {
        if (!isParscaleError(error)) throw error
      })
    }),
    { numRuns: 10_000 },
  )
})
