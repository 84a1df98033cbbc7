/** Against what pyarrow wrote: fixtures/data/**.parquet, made by scripts/fixtures/make-data-fixtures.py and make-parquet-fixtures.py. */
import { readFileSync } from 'node:fs'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'
import { bytesSource } from '../../checkpoint/byte-source.ts'
import type { DocumentOptions, TrainingDocument } from '../../training/data/documents.ts'
import { readFooter } from './parquet/footer.ts'
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

const honest = JSON.parse(fixture('parquet/expected.json').toString()) as {
  texts: (string | null)[]
  chats: (unknown[] | null)[]
}
const codecs = ['none', 'snappy', 'gzip', 'zstd', 'brotli', 'lz4']
const pageFormats = codecs.flatMap((codec) => ['v1', 'v2'].map((version) => `texts-${codec}-${version}`))

it.each(pageFormats)('%s: every encoding of texts', async (name) => {
  for (const field of ['dictionary', 'plain', 'lengths', 'prefixes']) {
    const documents = await read(fixture(`parquet/${name}.parquet`), { field, skipBad: true })
    const expected = honest.texts
      .map((text, i) => ({ text, where: `x.parquet, row ${i + 1}` }))
      .filter(({ text }) => text?.trim())
    expect(documents, field).toEqual(expected)
  }
})

it.each(['v1', 'v2', 'deltas', 'old-lists'])('chats-%s: lists in objects in lists, with nulls, over many pages', async (name) => {
  const documents = await read(fixture(`parquet/chats-${name}.parquet`), { skipBad: true })
  const expected = honest.chats.map((messages, i) => ({ messages, where: `x.parquet, row ${i + 1}` }))
  expect(documents).toEqual(expected.filter(({ messages }) => messages?.length))
})

it('a run of ten million rows in 20 kB is read, row by row', async () => {
  const bytes = fixture('parquet/run.parquet')
  let rows = 0
  const before = process.memoryUsage().rss
  for await (const document of parquetDocuments(bytesSource(bytes, 'x.parquet'))) {
    if (++rows % 100_000) continue
    expect(document).toEqual({ text: 'the same', where: `x.parquet, row ${rows}` })
    // A reader of whole groups takes 600 bytes a row.
    if (rows === 1_000_000) break
  }
  expect(process.memoryUsage().rss - before).toBeLessThan(300 << 20)
})

it('a row of more messages than anybody has said is refused, whatever little room they take', async () => {
  const bytes = fixture('parquet/long-row.parquet')
  expect(bytes.length).toBeLessThan(4096)
  await expect(read(bytes)).rejects.toThrow('a row has more than 524288 values, lists and objects')
})

it('a text that is not UTF-8 is refused by its row, and can be skipped', async () => {
  const bytes = Buffer.from(fixture('parquet/texts-none-v1.parquet'))
  // The first of the plain texts with this umlaut; the dictionary's column lies before it.
  const from = bytes.indexOf('row 1 goes on')
  bytes[bytes.indexOf('row 1 goes on', from + 1)] = 0xff
  await expect(read(bytes, { field: 'plain', skipBad: false })).rejects.toThrow(/row \d+/)
  const skipped: string[] = []
  await read(bytes, { field: 'plain', skipBad: true, onSkip: (reason, where) => void skipped.push(`${where}: ${reason}`) })
  expect(skipped.filter((each) => each.endsWith('notUtf8'))).toEqual(['x.parquet, row 5: notUtf8'])
})

it('columns that several groups share are refused, not read as often as they are named', async () => {
  const bytes = Buffer.from(fixture('texts-snappy.parquet'))
  const { groups } = await readFooter(bytesSource(bytes, 'x.parquet'))
  const [first, second] = groups.map((group) => group.chunk(1).start)
  // Offsets are written as twice their value, seven bits a byte.
  const written = (offset: number) => Buffer.from([((2 * offset) & 127) | 128, offset >> 6])
  const footer = bytes.length - 8 - bytes.readUInt32LE(bytes.length - 8)
  const next = () => bytes.indexOf(written(second!), footer)
  for (let at = next(); at > 0; at = next()) bytes.set(written(first!), at)
  await expect(read(bytes)).rejects.toThrow(`columns lie at ${first} to`)
})
