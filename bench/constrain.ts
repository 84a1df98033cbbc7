/**
 * Constrained output over JSON schemas from the wild, with ajv as the judge: instances that are valid and invalid, read byte by
 * byte and token by token, and random walks through the masks, whose texts ajv has to call valid. Ends with 1 where one is wrong.
 *
 *     npm run bench:constrain
 *     npm run bench:constrain -- --schemas FILE.jsonl.gz --walks 3 --vocabulary 150000
 *     npm run bench:constrain -- --schemas FILE.jsonl.gz --reports /tmp/reports.jsonl     goes on where it was interrupted
 *
 * Ctrl-C ends it with what was measured so far. Times are of this process alone, whoever else computes on the machine. A line of the file: { "name", "schema", "tests": [{ "valid", "data" }] }; see docs/constrained-output.md.
 */
import { appendFileSync, existsSync, readFileSync } from 'node:fs'
import { cpus, loadavg } from 'node:os'
import process from 'node:process'
import { parseArgs } from 'node:util'
import { gunzipSync } from 'node:zlib'
import { byteTokenizerFiles, createTokenizer } from '@parscale/core/internal/tokenizer'
import { TokenVocabulary } from '../packages/core/src/generation/constrain/index.ts'
import {
  checkSchema,
  type SchemaCase,
  type SchemaReport,
} from '../packages/core/src/generation/constrain/testing/check-schema.ts'
import { smollm2Files } from '../packages/core/src/generation/constrain/testing/smollm2.ts'
import { enlarged } from '../packages/core/src/generation/constrain/testing/vocabularies.ts'

const { values: flags } = parseArgs({
  options: {
    schemas: { type: 'string', default: 'fixtures/schemas/sample.jsonl' },
    /** Random texts for each schema. */
    walks: { type: 'string', default: '2' },
    /** SmolLM2's 49,152 tokens, and more that are made up. */
    vocabulary: { type: 'string', default: '150000' },
    /** Only schemas whose name contains this. */
    only: { type: 'string', default: '' },
    /** A token for each byte instead: quick, and every state of a text is seen. */
    bytes: { type: 'boolean', default: false },
    /** What each schema came to, a line of JSON for each: those that stand there already are not checked again. */
    reports: { type: 'string' },
    verbose: { type: 'boolean', default: false },
  },
})

const bytes = readFileSync(flags.schemas)
const cases = (flags.schemas.endsWith('.gz') ? gunzipSync(bytes) : bytes)
  .toString()
  .trim()
  .split('\n')
  .map((line) => JSON.parse(line) as SchemaCase)
  .filter(({ name }) => name.includes(flags.only))

const tokenizer = flags.bytes
  ? createTokenizer(byteTokenizerFiles(['<s>', '</s>']))
  : enlarged(createTokenizer(await smollm2Files()), Number(flags.vocabulary))
const vocabulary = new TokenVocabulary(tokenizer)
const reports: SchemaReport[] = []

/**
 * Of the clock and of the process' time on processors the lesser, as one thread computed at most so much: others on the machine
 * stretch the one, V8's own threads the other.
 */
function stopwatch(): () => number {
  const [cpu, wall] = [process.cpuUsage(), performance.now()]
  return () => {
    const ms = performance.now() - wall
    if (ms < 0.05) return ms
    const { user, system } = process.cpuUsage(cpu)
    return Math.min(ms, (user + system) / 1000)
  }
}

/** Reports of the same check. */
interface Kept {
  readonly name: string
  readonly how: string
  readonly report: SchemaReport
}
const how = JSON.stringify([flags.walks, flags.bytes ? 'bytes' : flags.vocabulary])
const kept = new Map<string, SchemaReport>()
if (flags.reports && existsSync(flags.reports))
  for (const line of readFileSync(flags.reports, 'utf8').trim().split('\n')) {
    const one = JSON.parse(line) as Kept
    if (one.how === how) kept.set(one.name, one.report)
  }
let shown = performance.now()
let interrupted = false
process.once('SIGINT', () => {
  interrupted = true
})
for (const [i, each] of cases.entries()) {
  await new Promise(setImmediate) // lets signals in
  if (interrupted) break
  const known = kept.get(each.name)
  const report = known ?? checkSchema(each, { tokenizer, vocabulary, walks: Number(flags.walks), seed: i, stopwatch })
  reports.push(report)
  if (flags.reports && !known)
    appendFileSync(flags.reports, `${JSON.stringify({ name: each.name, how, report } satisfies Kept)}\n`)
  for (const wrong of report.wrong) console.log(`${each.name}: ${wrong}`)
  if (report.refused && flags.verbose) console.log(`${each.name}: refused: ${report.refused}`)
  if (performance.now() - shown < 10_000) continue
  shown = performance.now()
  console.error(`${i + 1} of ${cases.length}`)
}

const sum = (of: (report: SchemaReport) => number): number => reports.reduce((total, report) => total + of(report), 0)
const supported = reports.filter(({ refused }) => refused === undefined)
const wrong = sum((report) => report.wrong.length)
const share = (part: number): string => `${((100 * part) / reports.length).toFixed(1)} %`
const quantiles = (values: readonly number[]): string => {
  const sorted = [...values].sort((a, b) => a - b)
  const at = (q: number): string => (sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? 0).toFixed(3)
  return `p50 ${at(0.5)} ms, p99 ${at(0.99)} ms, largest ${at(1)} ms`
}
console.log(
  `${reports.length} schemas: ${supported.length} supported (${share(supported.length)}), ${reports.length - supported.length} refused by name`,
)
console.log(
  `instances read: ${sum((each) => each.valid)} valid accepted, ${sum((each) => each.invalid)} invalid refused; random texts valid: ${sum((each) => each.walked)}`,
)
console.log(`wrong: ${wrong}; schemas that ajv cannot judge: ${sum((each) => (each.judged ? 0 : 1))}`)
console.log(`compile: ${quantiles(supported.map(({ compileMs }) => compileMs))}`)
console.log(`mask of ${vocabulary.size} tokens, along random texts: ${quantiles(supported.flatMap(({ coldMs }) => coldMs))}`)
console.log(`mask of ${vocabulary.size} tokens, the same texts again: ${quantiles(supported.flatMap(({ warmMs }) => warmMs))}`)
console.log(`machine: ${cpus().length} x ${cpus()[0]?.model}, load ${loadavg()[0]!.toFixed(1)}`)
if (wrong > 0) process.exitCode = 1
