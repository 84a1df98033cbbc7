/** The parsers of what goes with text: tokenizers, chat templates, data, token files, runs, points of laws. */
import { readFileSync } from 'node:fs'
import { bytesSource } from '../../checkpoint/byte-source.ts'
import { parseJsonText } from '../../checkpoint/json-text.ts'
import type { TextFiles } from '../../checkpoint/open-checkpoint.ts'
import { utf8 } from '../../checkpoint/testing/bytes.ts'
import { memorySink } from '../../checkpoint/testing/memory-sink.ts'
import { generationStops } from '../../generation/open-text.ts'
import { parsePoints } from '../../law/index.ts'
import { parquetDocuments } from '../../node/documents/parquet.ts'
import { createChatTemplate } from '../../tokenizer/templates/chat-template.ts'
import { readFixture } from '../../tokenizer/testing/fixtures.ts'
import { createTokenizer } from '../../tokenizer/tokenizer.ts'
import { tokenizerFiles } from '../../tokenizer/tokenizer-files.ts'
import { crc32 } from '../../training/data/crc32.ts'
import type { TrainingDocument } from '../../training/data/documents.ts'
import { jsonlDocuments } from '../../training/data/json-documents.ts'
import { textDocuments } from '../../training/data/text-documents.ts'
import { openTokenFile } from '../../training/data/token-file.ts'
import { tokenFileWriter } from '../../training/data/token-file-writer.ts'
import { parseFinalEvaluation, parseMetrics, parseSavedRun } from '../../training/run/saved-run.ts'
import type { FuzzTarget } from './fuzz.ts'
import { holds, jsonOf, textOf } from './weights.ts'

/** Fewer pieces, so that damage hits something else than the vocabulary. */
function smaller(json: { model: { vocab: Record<string, number>; merges: unknown[] } }) {
  const merges = json.model.merges.slice(0, 3)
  const parts = merges.map((merge) => (Array.isArray(merge) ? merge : String(merge).split(' ')) as string[])
  const needed = new Set(parts.flatMap((pair) => [...pair, pair.join('')]))
  const vocab = Object.fromEntries(Object.entries(json.model.vocab).filter(([piece], i) => i < 60 || needed.has(piece)))
  return { ...json, model: { ...json.model, vocab, merges } }
}
const tokenizers = ['gpt2', 'qwen2', 'llama3', 'llama-spm', 'metaspace-split'].map((name) =>
  smaller(readFixture(`${name}.tokenizer.json`) as Parameters<typeof smaller>[0]),
)
const plainTokenizer = createTokenizer({ tokenizerJson: tokenizers[0] })
const conversation = [
  { role: 'system', content: 'Be brief.' },
  { role: 'user', content: 'Hi <|im_end|> there' },
  { role: 'assistant', content: '' },
]

/** A folder of one file, as it is read from disk. */
const folderOf = (name: string, bytes: Uint8Array, others: Readonly<Record<string, string>> = {}): TextFiles => ({
  path: 'fuzz',
  readText: async (asked) => (asked === name ? textOf(bytes) : others[asked]),
})

/** Documents say what was in the file, and no more of it. */
async function readAll(documents: AsyncIterable<TrainingDocument>, bytes: Uint8Array): Promise<void> {
  let length = 0
  for await (const document of documents)
    length += 'text' in document ? document.text.length : document.messages.reduce((sum, { content }) => sum + content.length, 0)
  holds(length <= 3 * bytes.length, 'documents are no more than the file')
}

async function tokenFileSeed(masked: boolean): Promise<Uint8Array> {
  const sink = memorySink()
  const writer = await tokenFileWriter(sink, { vocabSize: 300, masked, tokenizer: 'abc' })
  for (const ids of [[1, 2, 299], [7]]) await writer.write({ ids: Uint32Array.from(ids) })
  await writer.finish({ summary: 1 })
  return sink.bytes()
}

/** With a checksum that agrees, so that what is behind it is looked at. */
function sealed(bytes: Uint8Array): Uint8Array {
  if (bytes.length < 32) return bytes
  const copy = new Uint8Array(bytes)
  const view = new DataView(copy.buffer)
  const trailer = copy.length - 32
  const tail = trailer - view.getUint32(trailer + 16, true) - 8 * Number(view.getBigUint64(trailer + 8, true))
  const checked = [copy.subarray(Math.max(0, tail), trailer), copy.subarray(trailer, trailer + 20)]
  view.setUint32(trailer + 20, crc32(checked[1]!, crc32(checked[0]!)), true)
  return copy
}

const parquetSeeds = [
  ...['chat', 'texts-snappy', 'texts-zstd'].map((name) => `${name}.parquet`),
  ...['none-v1', 'none-v2', 'lz4-v1', 'brotli-v2'].map((name) => `parquet/texts-${name}.parquet`),
  ...['chats-deltas', 'chats-old-lists'].map((name) => `parquet/${name}.parquet`),
]
const parquet = (name: string): Uint8Array => readFileSync(new URL(`../../../../../fixtures/data/${name}`, import.meta.url))

const savedRun = {
  position: { step: 3, stage: 0, updates: 3, tokens: 96, losses: { count: 3, mean: 2.5, variance: 0.1 } },
  loop: { evaluatedAt: -1, trainingSeconds: 1.5 },
  data: { tokens: 100, digest: 'abc' },
}

export const textTargets = async (): Promise<FuzzTarget[]> => [
  {
    name: 'tokenizer.json',
    seeds: tokenizers.map(jsonOf),
    parse: async (bytes) => {
      const tokenizer = createTokenizer(await tokenizerFiles(folderOf('tokenizer.json', bytes)), 'fuzz')
      const text = 'Hi  there\n12 \u00e9\ud83d\ude00 <|im_end|>'
      const ids = tokenizer.encode(text, { allowSpecial: true })
      holds(ids.length <= 8 * utf8(text).length + 8, 'a text has not many more tokens than bytes')
      holds(typeof tokenizer.decode(ids) === 'string', 'ids of the tokenizer are text')
    },
    kinds: ['checkpoint', 'unsupported', 'usage', 'resource'],
    growth: 400,
  },
  {
    name: 'tokenizer_config.json',
    seeds: [
      jsonOf({
        bos_token: '<s>',
        eos_token: { content: '</s>' },
        chat_template: '{% for m in messages %}{{ m.content }}{% endfor %}',
      }),
      jsonOf({ add_bos_token: true, chat_template: [{ name: 'default', template: '{{ bos_token }}{{ messages | length }}' }] }),
    ],
    parse: async (bytes) => {
      const files = await tokenizerFiles(
        folderOf('tokenizer_config.json', bytes, { 'tokenizer.json': JSON.stringify(tokenizers[0]) }),
      )
      createChatTemplate(files, createTokenizer(files, 'fuzz'))?.render(conversation)
    },
    kinds: ['checkpoint', 'unsupported', 'usage', 'resource'],
    growth: 10_000,
  },
  {
    name: 'chat template',
    seeds: [
      "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\\n' + m['content'] | trim + '<|im_end|>' }}{% endfor %}",
      "{%- if messages[0].role == 'system' -%}{% set x = messages[0].content %}{% else %}{% set x = '' %}{%- endif -%}{{ x[1:3] * 2 }}",
      "{% macro f(a, b=1) %}{{ a ~ b }}{% endmacro %}{{ f(messages | map(attribute='role') | join(','), b=[1, 2.5]) | upper }}",
      "{% set ns = namespace(n=0) %}{% for i in range(3) %}{% set ns.n = ns.n + i %}{% endfor %}{{ ns.n }}{{ raise_exception('no') }}",
    ].map(utf8),
    parse: (bytes) => {
      const rendered = createChatTemplate({ tokenizerJson: tokenizers[0], chatTemplate: textOf(bytes) }, plainTokenizer)?.render(
        conversation,
      )
      holds(rendered !== undefined, 'a template is there')
    },
    kinds: ['checkpoint', 'unsupported', 'usage', 'resource'],
    growth: 10_000,
  },
  {
    name: 'generation_config.json',
    seeds: [jsonOf({ eos_token_id: [1, 2], pad_token_id: 0, temperature: 0.7 }), jsonOf({ eos_token_id: 2 })],
    parse: async (bytes) => {
      const stops = await generationStops(folderOf('generation_config.json', bytes))
      holds(stops.every(Number.isSafeInteger), 'ends of text are ids')
    },
    kinds: ['checkpoint'],
    growth: 100,
  },
  {
    name: 'token file',
    seeds: [await tokenFileSeed(false), await tokenFileSeed(true)],
    parse: async (bytes) => {
      const file = await openTokenFile(bytesSource(bytes.length % 2 ? bytes : sealed(bytes), 'fuzz'))
      const { ids } = await file.read(0, file.tokens)
      holds(ids.length === file.tokens && ids.every((id) => id < file.vocabSize), 'ids are of the vocabulary')
      holds(file.tokens * 2 + file.documents * 8 <= bytes.length, 'counts are no more than the file')
    },
    kinds: ['checkpoint', 'unsupported'],
    growth: 200,
  },
  {
    name: 'JSON lines',
    seeds: [utf8('{"text":"one"}\n\n{"text":"two\\u00e9"}\r\n{"messages":[{"role":"user","content":"hi"}]}\n')],
    parse: (bytes) => readAll(jsonlDocuments(bytesSource(bytes, 'fuzz')), bytes),
    kinds: ['checkpoint', 'usage'],
    growth: 200,
  },
  {
    name: 'text',
    seeds: [utf8('one\n<|end|>two \u00e9\ud83d\ude00<|end|>')],
    parse: (bytes) => readAll(textDocuments(bytesSource(bytes, 'fuzz'), { separator: '<|end|>' }), bytes),
    kinds: ['checkpoint', 'usage'],
    growth: 200,
  },
  {
    name: 'Parquet',
    seeds: parquetSeeds.map(parquet),
    parse: async (bytes) => {
      // Each column of these files is encoded in another way.
      const fields = Buffer.from(bytes).includes('prefixes') ? ['dictionary', 'plain', 'lengths', 'prefixes'] : [undefined]
      const field = fields[bytes[bytes.length >> 1]! % fields.length]
      for await (const { where } of parquetDocuments(bytesSource(bytes, 'fuzz'), { ...(field && { field }), skipBad: true }))
        holds(where.startsWith('fuzz, row '), 'rows have names')
    },
    kinds: ['checkpoint', 'usage'],
    growth: 2_000,
  },
  {
    name: 'state of a run',
    seeds: [jsonOf(savedRun)],
    parse: (bytes) => {
      const { position } = parseSavedRun(parseJsonText(textOf(bytes), 'fuzz'), 'fuzz')
      holds(Number.isInteger(position.step) && position.step >= 0, 'steps count')
    },
    kinds: ['checkpoint'],
    growth: 200,
  },
  {
    name: 'metrics of a run',
    seeds: [utf8('{"kind":"train","step":1,"tokens":32,"loss":2.5}\n{"kind":"evaluation","step":2,"loss":[1,2]}\n')],
    parse: (bytes) => {
      for (const { step } of parseMetrics(textOf(bytes), 'fuzz')) holds(Number.isInteger(step) && step >= 0, 'steps count')
    },
    kinds: ['checkpoint'],
    growth: 500,
  },
  {
    name: 'evaluation of a run',
    seeds: [jsonOf({ loss: 1.5, tokens: 3, nats: [1, 2], counts: [1, 2] })],
    parse: (bytes) => {
      const { nats, counts } = parseFinalEvaluation(textOf(bytes), 'fuzz')
      holds(nats.length === counts.length, 'there is a count for each sum')
    },
    kinds: ['checkpoint'],
    growth: 200,
  },
  {
    name: 'points of a law',
    seeds: [
      utf8('# published\nN,P,loss,D,weight\n5.4e8,1,1.17,4e10,1\n5.4e8,2,1.16,4e10,\n'),
      jsonOf([
        { N: 1e9, P: 1, loss: 2.5 },
        { N: 1e9, P: 2, loss: 2.4, D: 1e10, weight: 2 },
      ]),
    ],
    parse: (bytes) => {
      for (const { N, P, loss } of parsePoints(textOf(bytes), 'fuzz'))
        holds(
          [N, P, loss].every((x) => Number.isFinite(x) && x > 0),
          'points are positive numbers',
        )
    },
    kinds: ['usage', 'checkpoint'],
    growth: 500,
  },
]
