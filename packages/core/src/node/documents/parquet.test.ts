/** Against what pyarrow wrote: fixtures/data/*.parquet, made by scripts/fixtures/make-data-fixtures.py. */
import { readFileSync } from 'node:fs'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { bytesSource } from '../../checkpoint/byte-source.ts'
import { isParscaleError } from '../../errors.ts'
import type { DocumentOptions, TrainingDocument } from '../../training/data/documents.ts'
import { parquetDocuments } from './parquet.ts'

const fixture = (name: string) => readFileSync(fileURLToPath(new URL(`../../../../../fixtures/data/${name}`, import.meta.url)))
const { texts, chat } = JSON.parse(fixture('parquet.json').toString()) as { texts: string[]; chat: unknown[] }

async function read(bytes: Uint8Array, options?: DocumentOptions): Promise<TrainingDocument[]> {
  const documents: TrainingDocument[] = []
  for await (const document of parquetDocuments(bytesSource(bytes, 'x.parquet'), options)) documents.push(document)
  return documents
}

it.each(['texts-snappy.parquet', 'texts-zstd.parquet'])('reads %s', async (name) => {
  const skipped: string[] = []
  const documents = await read(fixture(name), { onSkip: (reason, where) => skipped.push(`${where}: ${reason}`) })
  const expected = texts.map((text, i) => ({ text, where: `x.parquet, row ${i + 1}` })).filter(({ text }) => text !== '')
  expect(documents).toEqual(expected)
  expect(skipped).toHaveLength(texts.length - expected.length)
  expect(skipped[0]).toBe('x.parquet, row 3: empty')
})

it('reads conversations', async () => {
  expect(await read(fixture('chat.parquet'))).toEqual(chat.map((messages, i) => ({ messages, where: `x.parquet, row ${i + 1}` })))
})

it('reads another column, and names those that there are', async () => {
  const documents = await read(fixture('texts-snappy.parquet'), { field: 'other' })
  expect(documents[41]).toEqual({ text: 'o41', where: 'x.parquet, row 42' })
  await expect(read(fixture('texts-snappy.parquet'), { field: 'body' })).rejects.toThrow(
    'in field "body"; fields are id, text, other',
  )
  await expect(read(fixture('texts-snappy.parquet'), { field: 'id' })).rejects.toThrow('row 1: expected a text')
})

it('a file with two damaged columns fails once, and not behind our back', async () => {
  const orphans: unknown[] = []
  const listen = (reason: unknown) => void orphans.push(reason)
  process.on('unhandledRejection', listen)
  const bytes = new Uint8Array(fixture('chat.parquet'))
  // Both gzip streams of pages in each of the two columns: 1f 8b becomes 1f 00.
  for (let at = 0; at < bytes.length - 2; at++) if (bytes[at] === 0x1f && bytes[at + 1] === 0x8b) bytes[at + 1] = 0
  await expect(read(bytes)).rejects.toMatchObject({ kind: 'checkpoint' })
  await new Promise(setImmediate)
  process.off('unhandledRejection', listen)
  expect(orphans).toEqual([])
})

it.each<[string, (footer: Buffer) => void]>([
  ['children in its schema', (bytes) => void bytes.writeUInt8(0x7e, bytes.indexOf('schema') + 7)],
  ['bytes in its footer', (bytes) => void bytes.writeUInt32LE(2 ** 31, bytes.length - 8)],
])('more %s than there are are refused before anything is made of them', async (_, change) => {
  const bytes = Buffer.from(fixture('chat.parquet'))
  change(bytes)
  await expect(read(bytes)).rejects.toMatchObject({
    kind: 'checkpoint',
    message: expect.stringMatching(/cannot be read as Parquet/),
  })
})

it('answers or throws a typed error for damaged files', async () => {
  const valid = fixture('texts-snappy.parquet')
  const edits = fc.array(fc.tuple(fc.nat(valid.length - 1), fc.nat(255)), { minLength: 1, maxLength: 3 })
  await expect(read(valid.subarray(0, -5))).rejects.toThrow('x.parquet: cannot be read as Parquet')
  await fc.assert(
    fc.asyncProperty(edits, async (list) => {
      const bytes = new Uint8Array(valid)
      for (const [at, value] of list) bytes[at] = value
      await read(bytes, { skipBad: true }).catch((error) => expect(error).toSatisfy(isParscaleError))
    }),
    { numRuns: 300 },
  )
})
