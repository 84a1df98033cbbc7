import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type ByteSource, bytesSource } from '../../checkpoint/byte-source.ts'
import { isParscaleError } from '../../errors.ts'
import { type DocumentOptions, maxDocumentBytes, type SkipReason, type TrainingDocument } from './documents.ts'
import { jsonlDocuments } from './json-documents.ts'
import { textDocuments } from './text-documents.ts'

type Reader = (source: ByteSource, options?: DocumentOptions) => AsyncIterable<TrainingDocument>

const utf8 = (text: string) => new TextEncoder().encode(text)

async function readAll(reader: Reader, bytes: Uint8Array | string, options?: DocumentOptions): Promise<TrainingDocument[]> {
  const documents: TrainingDocument[] = []
  const source = bytesSource(typeof bytes === 'string' ? utf8(bytes) : bytes, 'data')
  for await (const document of reader(source, options)) documents.push(document)
  return documents
}

const textsOf = (documents: readonly TrainingDocument[]) => documents.map((document) => 'text' in document && document.text)

/** Reads with skipping, and gives what was skipped. */
async function skipped(reader: Reader, bytes: Uint8Array | string, options?: DocumentOptions) {
  const reasons: (readonly [SkipReason, string])[] = []
  const documents = await readAll(reader, bytes, {
    ...options,
    skipBad: true,
    onSkip: (reason, where) => reasons.push([reason, where]),
  })
  return { documents, reasons }
}

describe('text', () => {
  it('is one document, as it is but for a byte order mark', async () => {
    expect(await readAll(textDocuments, '\uFEFF  a\r\nb \n')).toEqual([{ text: '  a\r\nb \n', where: 'data' }])
  })

  it('is cut by a separator', async () => {
    const { documents, reasons } = await skipped(textDocuments, 'one<|e|>two\n<|e|> \n<|e|>four<|e|>\n', { separator: '<|e|>' })
    expect(documents).toEqual([
      { text: 'one', where: 'data, document 1' },
      { text: 'two\n', where: 'data, document 2' },
      { text: 'four', where: 'data, document 4' },
    ])
    expect(reasons).toEqual([['empty', 'data, document 3']])
  })

  it('is cut where chunks meet, and between the bytes of a character', async () => {
    for (const shift of [0, 1, 2, 3, 4, 5, 6]) {
      const first = `${'x'.repeat(2 ** 20 - 10 + shift)}ä😀`
      const documents = await readAll(textDocuments, `${first}<sep>second<sep>third`, { separator: '<sep>' })
      expect(textsOf(documents)).toEqual([first, 'second', 'third'])
    }
  })

  it('refuses what is not UTF-8, or skips it', async () => {
    const latin1 = Uint8Array.of(0x61, 0xe4, 0x62)
    await expect(readAll(textDocuments, latin1)).rejects.toThrow('data: is not valid UTF-8 text')
    expect(await skipped(textDocuments, latin1)).toEqual({ documents: [], reasons: [['notUtf8', 'data']] })
    const cutOff = utf8('ä').subarray(0, 1)
    await expect(readAll(textDocuments, cutOff)).rejects.toSatisfy(isParscaleError)
  })

  it('reports empty files and refuses empty separators', async () => {
    expect(await skipped(textDocuments, '')).toEqual({ documents: [], reasons: [['empty', 'data']] })
    await expect(readAll(textDocuments, 'a', { separator: '' })).rejects.toThrow('separator')
  })

  it('refuses a document that does not fit into a string, without reading on', async () => {
    let bytesRead = 0
    const endless: ByteSource = {
      name: 'data',
      size: 2 ** 40,
      read: async (_, length) => {
        bytesRead += length
        return new Uint8Array(length).fill(0x61)
      },
    }
    await expect(textDocuments(endless).next()).rejects.toThrow('at most 256 MiB; name a separator')
    expect(bytesRead).toBeLessThanOrEqual(maxDocumentBytes + 2 ** 20)
  })
})

describe('JSON lines', () => {
  it('hold texts and conversations', async () => {
    const messages = [{ role: 'user', content: 'Hi' }]
    const lines = ['{"text":"one"}', '', JSON.stringify({ messages, text: 'x' }), ' {"text":"two\\n", "id": 1}\r']
    expect(await readAll(jsonlDocuments, lines.join('\n'))).toEqual([
      { text: 'one', where: 'data, line 1' },
      { messages, where: 'data, line 3' },
      { text: 'two\n', where: 'data, line 4' },
    ])
  })

  it('take the text from another field', async () => {
    expect(textsOf(await readAll(jsonlDocuments, '{"content":"c","text":"t"}', { field: 'content' }))).toEqual(['c'])
  })

  it.each<[string, SkipReason, string, RegExp]>([
    ['bad JSON', 'badJson', '{"text":"a"', /^data, line 2: expected one JSON object: .*; correct it, or skip/],
    ['no field', 'missingField', '{"body":"a"}', /^data, line 2: .* in field "text"; fields are body/],
    ['no object', 'missingField', '["text"]', /^data, line 2: .* in field "text"; fields are none/],
    ['no text in the field', 'missingField', '{"text":7}', /^data, line 2: .* it holds something else/],
    ['bad messages', 'missingField', '{"messages":[{"role":"user"}]}', /^data, line 2: .* in field "messages"/],
    ['an inherited field', 'missingField', '{"__proto__":{"text":"a"}}', /^data, line 2: .* in field "text"/],
  ])('refuse a line with %s, or skip it', async (_, reason, line, message) => {
    const lines = `{"text":"one"}\n${line}\n{"text":"three"}`
    await expect(readAll(jsonlDocuments, lines)).rejects.toThrow(message)
    const { documents, reasons } = await skipped(jsonlDocuments, lines)
    expect(textsOf(documents)).toEqual(['one', 'three'])
    expect(reasons).toEqual([[reason, 'data, line 2']])
  })

  it('skip a line that is not UTF-8, and only that', async () => {
    const bytes = Uint8Array.of(...utf8('{"text":"'), 0xff, ...utf8('"}\n{"text":"two"}'))
    const { documents, reasons } = await skipped(jsonlDocuments, bytes)
    expect(textsOf(documents)).toEqual(['two'])
    expect(reasons).toEqual([['notUtf8', 'data, line 1']])
  })

  it('come back whatever they hold', async () => {
    const texts = fc.array(fc.string({ unit: 'grapheme', minLength: 1 }), { maxLength: 20 })
    await fc.assert(
      fc.asyncProperty(texts, async (written) => {
        const lines = written.map((text) => `${JSON.stringify({ text })}\n`).join('')
        expect(textsOf(await readAll(jsonlDocuments, lines))).toEqual(written.filter((text) => text.trim() !== ''))
      }),
    )
  })

  it('answer or throw a typed error, whatever the bytes', async () => {
    const noise = fc.oneof(fc.uint8Array({ maxLength: 100 }), fc.json().map(utf8))
    await fc.assert(
      fc.asyncProperty(noise, async (bytes) => {
        await readAll(jsonlDocuments, bytes).catch((error) => expect(error).toSatisfy(isParscaleError))
        await skipped(jsonlDocuments, bytes)
      }),
      { numRuns: 2000 },
    )
  })
})
