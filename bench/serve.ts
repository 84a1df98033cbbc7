/**
 * The server under clients, over HTTP: throughput beside llama.cpp with as many sequences, what the server itself takes of a step,
 * a long prompt's effect on others, the second turn of a chat, several answers to a prompt, P chosen by load, and too many requests.
 * A published shape, random weights, 8 bits; clients are a process of their own. A row of the table is printed when it is measured.
 * Rounds are fewer where the machine is slow, and what there is no time for says so: all of it takes six minutes.
 *
 *     npm run bench:serve                        1.6B, all of it
 *     npm run bench:serve -- --layers 4 --only throughput,second-turn --rounds 2 --json
 *
 * The model is written below .cache and kept with --keep. Layers are alike, but the output embedding is one: fewer of them say less
 * for it.
 */
import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { cpus, loadavg } from 'node:os'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { spreadOf } from '@parscale/core/internal'
import { publishedModel } from '@parscale/core/internal/cost'
import { Engine, modelFiles, type SchedulerOptions, TextModel } from '@parscale/core/internal/generation'
import { openModelFolder } from '@parscale/core/internal/node'
import type { ServerOptions } from '@parscale/core/internal/server'
import { byteTokenizerFiles, createTokenizer } from '@parscale/core/internal/tokenizer'
import { fakeEngine } from '../packages/core/src/generation/testing/fake-decoder.ts'
import { writeSyntheticModel } from '../packages/parscale/src/bench/synthetic-model.ts'
import { startModel } from '../packages/parscale/src/load/decode-engine.ts'
import { listening } from '../packages/parscale/src/serve/testing/listening.ts'
import { pythonEnvironment } from '../scripts/python-env.mjs'
import { loadPeer } from './llama-peer.ts'
import { startClients, type Told } from './serve-clients.ts'

const { values: flags } = parseArgs({
  options: {
    shape: { type: 'string', default: '1.6B' },
    layers: { type: 'string' },
    rounds: { type: 'string', default: '3' },
    /** Of each answer. */
    tokens: { type: 'string', default: '16' },
    clients: { type: 'string', default: '1,8,32' },
    /** Tokens of the long prompt, and of the chat. */
    long: { type: 'string', default: '4000' },
    chat: { type: 'string', default: '2000' },
    slowdown: { type: 'string', default: '1.4' },
    /** Of too many requests; the prompt and what is repeated get as much. */
    seconds: { type: 'string', default: '30' },
    /** No part begins later than half a minute before. */
    minutes: { type: 'string', default: '6' },
    threads: { type: 'string', default: '2' },
    only: { type: 'string', default: 'throughput,share,long-prompt,second-turn,answers,autopilot,overload' },
    keep: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
  },
})
const { rounds, tokens, long, chat, slowdown, seconds, threads } = Object.fromEntries(
  (['rounds', 'tokens', 'long', 'chat', 'slowdown', 'seconds', 'threads'] as const).map((name) => [name, Number(flags[name])]),
) as Record<'rounds' | 'tokens' | 'long' | 'chat' | 'slowdown' | 'seconds' | 'threads', number>
const folder = fileURLToPath(new URL('../.cache/bench-serve', import.meta.url))
const published = publishedModel(flags.shape).shape
const shape = flags.layers === undefined ? published : { ...published, numHiddenLayers: Number(flags.layers) }
const name = `${flags.shape}-${shape.numHiddenLayers}-layers`
const ids = (count: number, seed: number) => Array.from({ length: count }, (_, i) => (i * 7919 + seed * 104_729) % 250)
const say = (line: string) => process.stderr.write(`${line}\n`)

const path = `${folder}/${name}`
if (!existsSync(path)) await writeSyntheticModel(path, { shape, bits: 8, streams: [1, 8] }, {})
const open = [await openModelFolder(path), await openModelFolder(`${path}/streams/p8`)]
const model = await startModel('native', await modelFiles(open[0]!, open.slice(1)), { threads, cacheDirectory: folder })

/** Every id has a text, so that every token is an event; prompts come as ids. */
const files = byteTokenizerFiles(['<begin>', '<end>'])
const { vocab } = (files.tokenizerJson as { model: { vocab: Record<string, number> } }).model
for (let id = 258; id < shape.vocabSize; id++) vocab[`w${id}`] = id
const tokenizer = createTokenizer(files)

/** A server over the one model. */
async function serving(scheduling: SchedulerOptions = {}, options: Partial<ServerOptions> = {}) {
  const text = new TextModel(model, tokenizer, undefined, [], { promptSlowdown: slowdown, ...scheduling })
  const server = await listening({ m: text }, options)
  const close = async () => {
    await server.stop()
    // The model outlives its servers: the next one begins when nothing of this one runs.
    while (text.scheduler.counters.running > 0) await text.engine.turn(() => {})
    await text.scheduler.releaseKept()
  }
  return { ...server, text, close }
}

const clients = startClients()
/** Random weights end no text. */
const asking = (promptIds: readonly number[], maxTokens: number, p: number | 'auto' = 1, temperature = 0) => ({
  ...{ model: 'm', prompt: promptIds, max_tokens: maxTokens, temperature, parscale: { p } },
})
async function stream(
  url: string,
  promptIds: readonly number[],
  maxTokens: number,
  p: number | 'auto' = 1,
  temperature = 0,
): Promise<Told> {
  const told = await clients.stream(url, asking(promptIds, maxTokens, p, temperature))
  if (told.status !== 200 || !told.whole) throw new Error(`the server answered ${told.status}, ${told.times.length} tokens`)
  return told
}
const together = (count: number, ask: (i: number) => Promise<Told>) =>
  Promise.all(Array.from({ length: count }, (_, i) => ask(i)))
const firstMs = ({ started, times }: Told) => times[0]! - started

/** Rounds from number 0 on: as many as asked for, or as fit into the time, at least one; one more where the first is to warm up. */
function* roundsWithin(ms: number, warm: 'warm' | 'cold'): Generator<number> {
  const started = performance.now()
  const least = warm === 'warm' ? 2 : 1
  for (let round = 0; round < rounds + least - 1; round++) {
    if (round >= least && ((performance.now() - started) * (round + 1)) / round > ms) return
    yield round
  }
}
const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

/** Prompts come in at once: only steps in which all clients generate are counted. */
const atOnce = { promptSlowdown: Infinity }
/** Tokens of an answer that goes on when the prompts of all clients are in. */
const answer = (count: number) => tokens + 8 + Math.ceil(count / 2)

const gaps = (times: readonly number[]) => times.slice(1).map((time, i) => time - times[i]!)
/** While all were generating: from the last first token to the first last one. */
function steady(all: readonly Told[]): number[][] {
  const [from, to] = [Math.max(...all.map(({ times }) => times[0]!)), Math.min(...all.map(({ times }) => times.at(-1)!))]
  return all.map(({ times }) => times.filter((time) => time >= from && time <= to))
}
/** Milliseconds from one token of a client to its next: on a machine that others use, the faster half tells more. */
const tokenMs = (all: readonly Told[]) => spreadOf(steady(all).flatMap(gaps)).lowerQuartile
const median = (values: readonly number[]) => spreadOf(values).median
const p99 = (values: readonly number[]) => values.toSorted((a, b) => a - b)[Math.ceil(0.99 * values.length) - 1]!

interface Row {
  readonly what: string
  readonly figures: Readonly<Record<string, number>>
  readonly measured: number
  readonly goal: number
  /** Whether the goal is the least, or the most. */
  readonly bound: 'least' | 'most'
  readonly unit: 'x' | '%' | ' ms' | ''
}

/** Both sides step as many rows; each of ours is a client's. */
async function* throughput(): AsyncGenerator<Row> {
  const gguf = `${path}.q8_0.gguf`
  const sizes = {
    layers: shape.numHiddenLayers,
    hidden: shape.hiddenSize,
    intermediate: shape.intermediateSize,
    heads: shape.numAttentionHeads,
    'kv-heads': shape.numKeyValueHeads,
    vocabulary: shape.vocabSize,
  }
  const script = fileURLToPath(new URL('make-gguf.py', import.meta.url))
  if (!existsSync(gguf))
    execFileSync(
      pythonEnvironment('gguf'),
      [script, 'random', gguf, '--type', 'q8_0', ...Object.entries(sizes).flatMap(([flag, size]) => [`--${flag}`, String(size)])],
      { stdio: ['ignore', 2, 2] },
    )
  const peer = await loadPeer(gguf, { threads })
  const server = await serving(atOnce)
  const context = 32
  const cases = [...flags.clients.split(',').map((count) => ({ count: Number(count), p: 1 })), { count: 1, p: 8 }]
  for (const { count, p } of cases) {
    const sequences = count * p
    const decoder = await peer.openDecoder({ sequences, contextTokens: context, steps: (rounds + 1) * tokens })
    const [ours, theirs]: [number[], number[]] = [[], []]
    for (const round of roundsWithin((1000 * seconds) / 2, 'warm')) {
      const most = round === 0 ? 2 : tokens
      const length = answer(count) - tokens + most
      const all = await together(count, (i) => stream(server.url, ids(context, i + 100 * round), length, p))
      const steps: number[] = []
      while (steps.length < most) steps.push(await decoder.step())
      if (round === 0) continue // warms up
      ours.push(tokenMs(all))
      theirs.push(spreadOf(steps).lowerQuartile)
      say(`${count} clients, P = ${p}: ${ours.at(-1)!.toFixed(1)} ms a token, llama.cpp ${theirs.at(-1)!.toFixed(1)}`)
    }
    const perSecond = (ms: readonly number[]) => (1000 * count) / median(ms)
    yield {
      what:
        p === 1
          ? `${count} clients, P = 1: tokens/s against llama.cpp with ${sequences} sequences`
          : `${count} client, P = ${p}: tokens/s against llama.cpp with ${sequences} sequences, each token of all`,
      figures: { ours: perSecond(ours), 'llama.cpp': perSecond(theirs) },
      measured: median(ours.map((one, i) => theirs[i]! / one)),
      ...{ goal: sequences === 1 ? 1.4 : 4, bound: 'least', unit: 'x' },
    }
    await decoder.dispose()
  }
  await server.close()
  await peer.dispose()
}

/** The same eight requests over HTTP and given to the scheduler. @returns when the tokens of each came */
async function bothWays({ url, text }: { url: string; text: TextModel }, length: number, temperature = 0) {
  const over = () => together(8, (i) => stream(url, ids(64, i), length, 1, temperature))
  const direct = () =>
    together(8, async (i) => {
      const times: number[] = []
      const onToken = () => void times.push(performance.now())
      await text.scheduler.submit({ promptIds: ids(64, i), p: 1, maxTokens: length, sampling: { temperature, seed: i }, onToken })
      return { status: 200, started: 0, ended: 0, times, whole: true }
    })
  return { over: await timed(over), direct: await timed(direct) }
}

/** Processor time of a process' threads in ms, which others on the machine hardly change. Linux; NaN elsewhere. */
function computedMs(pid: number | 'self', thread?: number | 'self'): number {
  const folder = `/proc/${pid}/task`
  if (!existsSync(folder)) return Number.NaN
  const of = (id: string | number) => Number(readFileSync(`${folder}/${id}/schedstat`, 'utf8').split(' ')[0]) / 1e6
  // The first thread of a process has its number.
  if (thread !== undefined) return of(thread === 'self' ? process.pid : thread)
  return readdirSync(folder).reduce((sum, id) => sum + of(id), 0)
}

/** With the milliseconds that this thread, and the clients' process, have computed meanwhile. */
async function timed<T>(work: () => Promise<T>): Promise<{ told: T; computedMs: number; clientsMs: number }> {
  const now = () => [computedMs('self', 'self'), computedMs(clients.pid)] as const
  const [own, theirs] = now()
  const told = await work()
  const [ownThen, theirsThen] = now()
  return { told, computedMs: ownThen - own, clientsMs: theirsThen - theirs }
}

/** Notes steps in which 8 rows generate, from inside: how long each took, and how long no step ran behind it. */
function watchSteps({ engine }: TextModel) {
  let [took, between]: [number[], number[]] = [[], []]
  let ended: number | undefined
  const step = engine.step.bind(engine)
  engine.step = async (work, options) => {
    const started = performance.now()
    const counts = work.length === 8 && work.every(({ ids }) => ids.length === 1)
    if (counts && ended !== undefined) between.push(started - ended)
    const stepping = step(work, options)
    const results = await stepping
    const now = performance.now()
    ended = counts ? now : undefined
    if (counts) took.push(now - started)
    return results
  }
  return {
    /** Quartiles of what was noted since the last call. */
    told() {
      const figures = { step: spreadOf(took).lowerQuartile, between: spreadOf(between).lowerQuartile }
      ;[took, between] = [[], []]
      ended = undefined
      return figures
    },
  }
}

/** Of this thread, ms for each step of 8 rows that itself computes nothing: what there is beside a model, once it is compiled. */
async function besideSteps(): Promise<{ http: number; scheduler: number }> {
  // Bytes alone: none of them ends a text.
  const { engine } = fakeEngine({ ragged: true, vocabSize: 256, context: 4096 })
  const text = new TextModel(engine.model, tokenizer)
  const server = await listening({ m: text })
  const length = 500
  const [http, scheduler]: [number[], number[]] = [[], []]
  for (let round = 0; round < 5; round++) {
    const { over, direct } = await bothWays({ url: server.url, text }, length)
    if (round < 2) continue // warms up
    http.push(over.computedMs / length)
    scheduler.push(direct.computedMs / length)
  }
  await server.close()
  return { http: median(http), scheduler: median(scheduler) }
}

/**
 * Eight clients over HTTP, the same eight requests given to the scheduler, and the bare steps of the engine. By the wall clock the
 * difference is the clients' own work as well, where they have no cores of their own; inside, it is what stands between two steps.
 */
async function* share(): AsyncGenerator<Row> {
  const beside = await besideSteps()
  yield {
    what: "the server's own work for a step of 8 rows, as processor time (ms a token of each client)",
    ...{ figures: { ...beside }, measured: beside.http - beside.scheduler, goal: 1, bound: 'most', unit: ' ms' },
  }
  const server = await serving(atOnce)
  const steps = watchSteps(server.text)
  const [http, within, bare]: [number[], number[], number[]] = [[], [], []]
  /** Processor time a step: of the thread that serves, and of the clients. */
  const thread: Record<'http' | 'scheduler' | 'clients', number[]> = { http: [], scheduler: [], clients: [] }
  const gaps8: Record<'best' | 'drawn', { step: number; between: number }[]> = { best: [], drawn: [] }
  for (const round of roundsWithin(1000 * seconds, 'warm')) {
    const length = round === 0 ? 8 : answer(8)
    const { over, direct } = await bothWays(server, length)
    steps.told()
    // Once more, as rounds of both ways count together there.
    await together(8, (i) => stream(server.url, ids(64, i), length))
    const best = steps.told()
    await together(8, (i) => stream(server.url, ids(64, i), length, 1, 1))
    const drawn = steps.told()
    const engine = new Engine(model)
    const sequences = Array.from({ length: 8 }, () => engine.open({ p: 1, room: 64 + 2 * tokens }))
    for (const [i, sequence] of sequences.entries()) await engine.prefill(sequence, ids(64, i))
    const times: number[] = []
    while (times.length < (round === 0 ? 2 : 2 * tokens)) {
      times.push(performance.now())
      await engine.step(
        sequences.map((sequence) => ({ sequence, ids: [1], want: 'last' as const })),
        { reuse: true },
      )
    }
    for (const sequence of sequences) engine.close(sequence)
    if (round === 0) continue
    http.push(tokenMs(over.told))
    within.push(tokenMs(direct.told))
    bare.push(spreadOf(gaps(times)).lowerQuartile)
    thread.http.push(over.computedMs / length)
    thread.scheduler.push(direct.computedMs / length)
    thread.clients.push(over.clientsMs / length)
    gaps8.best.push(best)
    gaps8.drawn.push(drawn)
    say(`8 rows: step ${bare.at(-1)!.toFixed(2)} ms, scheduler ${within.at(-1)!.toFixed(2)}, HTTP ${http.at(-1)!.toFixed(2)}`)
  }
  await server.close()
  for (const [how, what] of [
    [
      'best',
      'of the time of a step of 8 rows over HTTP and of what stands between two, the latter: each token the most probable',
    ],
    ['drawn', 'the same, tokens drawn from the whole vocabulary at temperature 1'],
  ] as const) {
    const figures = { step: median(gaps8[how].map(({ step }) => step)), between: median(gaps8[how].map((one) => one.between)) }
    const measured = (100 * figures.between) / (figures.step + figures.between)
    yield { what, ...{ figures, measured, goal: 3, bound: 'most', unit: '%' } }
  }
  const computed = { http: median(thread.http), scheduler: median(thread.scheduler), clients: median(thread.clients) }
  yield {
    what: 'processor time of the thread that serves, ms a step of 8 rows: over HTTP less without (the clients beside it)',
    ...{ figures: computed, measured: computed.http - computed.scheduler, goal: 1, bound: 'most', unit: ' ms' },
  }
  const figures = { step: median(bare), scheduler: median(within), http: median(http) }
  const own = median(http.map((one, i) => one - within[i]!))
  yield {
    what: `by the wall clock, ms a token over HTTP less without: the clients' own work on the same ${cpus().length} cores is in it`,
    ...{ figures, measured: own, goal: 1, bound: 'most', unit: ' ms' },
  }
}

async function* longPrompt(): AsyncGenerator<Row> {
  const server = await serving()
  const left = new AbortController()
  const others = together(4, (i) => clients.stream(server.url, asking(ids(64, i), 20_000), left.signal))
  // Their own prompts, and time to measure.
  await sleep(10_000)
  const cut = new AbortController()
  const timer = setTimeout(() => cut.abort(), 1000 * seconds)
  const { started: from, ended: to, whole } = await clients.stream(server.url, asking(ids(long, 9), 1), cut.signal)
  clearTimeout(timer)
  left.abort()
  const all = await others
  await server.close()
  const began = Math.max(...all.map(({ times }) => times[4]!))
  const [before, beside]: [number[], number[]] = [[], []]
  for (const { times } of all)
    for (const [i, time] of times.entries())
      if (i > 0 && times[i - 1]! > began && time < to)
        (time < from ? before : times[i - 1]! > from ? beside : []).push(time - times[i - 1]!)
  const took = ((to - from) / 1000).toFixed(1)
  say(`a prompt of ${long} tokens beside 4 clients: ${took} s`)
  const what = `others' ms a token while a prompt of ${long} tokens comes in${whole ? '' : ` (its first ${took} s)`}`
  yield* [
    {
      what: `${what}: median`,
      ...{ figures: { before: median(before), beside: median(beside) }, goal: 1.5, bound: 'most', unit: 'x' },
      measured: median(beside) / median(before),
    },
    {
      what: 'the same: p99',
      ...{ figures: { before: p99(before), beside: p99(beside) }, goal: 2, bound: 'most', unit: 'x' },
      measured: p99(beside) / p99(before),
    },
  ]
}

async function* secondTurn(): AsyncGenerator<Row> {
  const server = await serving({ keptBytes: 4e9 })
  const [first, second]: [number[], number[]] = [[], []]
  for (const round of roundsWithin(1000 * seconds, 'cold')) {
    const prompt = ids(chat, round + 30)
    first.push(firstMs(await stream(server.url, prompt, 8)))
    second.push(firstMs(await stream(server.url, [...prompt, ...ids(30, 5)], 8)))
  }
  await server.close()
  yield* [
    {
      what: `second turn of a chat of ${chat} tokens: first token against that of the first turn`,
      ...{ figures: { first: median(first), second: median(second) }, goal: 10, bound: 'most', unit: '%' },
      measured: median(second.map((one, i) => (100 * one) / first[i]!)),
    },
  ]
}

/** Prompts that come together are computed once: eight clients as one. */
async function* answers(): AsyncGenerator<Row> {
  const server = await serving()
  const [one, eight]: [number[], number[]] = [[], []]
  for (const round of roundsWithin((1000 * seconds) / 2, 'cold')) {
    one.push(firstMs(await stream(server.url, ids(500, 50 + round), 2)))
    eight.push(Math.max(...(await together(8, () => stream(server.url, ids(500, 70 + round), 2))).map(firstMs)))
  }
  await server.close()
  yield* [
    {
      what: '8 clients with the same prompt of 500 tokens: last first token against one client alone',
      ...{ figures: { one: median(one), eight: median(eight) }, goal: 1.5, bound: 'most', unit: 'x' },
      measured: median(eight.map((ms, i) => ms / one[i]!)),
    },
  ]
}

/** Eight clients that ask again when they are answered. */
async function* autopilot(): AsyncGenerator<Row> {
  const server = await serving()
  const each = 1
  const run = async (p: 'auto' | 8, round: number) => {
    const started = performance.now()
    await together(8, async (i) => {
      let last: Told | undefined
      for (let k = 0; k < each; k++) last = await stream(server.url, ids(16, i + 8 * k + 24 * round), tokens, p)
      return last!
    })
    return (8000 * each * tokens) / (performance.now() - started)
  }
  const [auto, fixed]: [number[], number[]] = [[], []]
  for (const round of roundsWithin(1000 * seconds, 'cold')) {
    auto.push(await run('auto', round))
    fixed.push(await run(8, round + 2))
    say(`8 clients: ${auto.at(-1)!.toFixed(1)} tokens/s with P by load, ${fixed.at(-1)!.toFixed(1)} with P = 8`)
  }
  await server.close()
  yield* [
    {
      what: '8 clients, tokens/s: P by load against P = 8',
      ...{ figures: { auto: median(auto), fixed: median(fixed) }, goal: 3, bound: 'least', unit: 'x' },
      measured: median(auto.map((one, i) => one / fixed[i]!)),
    },
  ]
}

/** As many clients as there is room for; then ten times as many requests as these had answered. */
async function* overload(): AsyncGenerator<Row> {
  const room = 16
  const ask = (url: string, i: number) => clients.stream(url, asking(ids(16, i), tokens))
  const took = ({ started, ended }: Told) => ended - started
  const full = await serving({ maxRows: room })
  const until = performance.now() + Math.min(10, seconds) * 1000
  const calm: Told[] = []
  const began = performance.now()
  await Promise.all(
    Array.from({ length: room }, async (_, i) => {
      for (let k = 0; performance.now() < until; k++) calm.push(await ask(full.url, i + room * k))
    }),
  )
  const perSecond = (1000 * calm.length) / (performance.now() - began)
  await full.close()
  const usual = p99(calm.map(took))
  const server = await serving({ maxRows: room }, { limits: { waitMs: median(calm.map(took)) / 2 } })
  // It knows by then what a text takes.
  await Promise.all(Array.from({ length: room }, (_, i) => ask(server.url, i)))
  const every = 1000 / (10 * perSecond)
  const asked: Promise<Told>[] = []
  for (let at = performance.now(), end = at + 1000 * seconds; at < end; at += every) {
    await sleep(Math.max(0, at - performance.now()))
    asked.push(ask(server.url, asked.length))
  }
  const all = await Promise.all(asked)
  await server.close()
  const answered = all.filter(({ status, whole, times }) => status === 200 && whole && times.length >= tokens)
  const refused = all.filter(({ status }) => status === 503)
  say(`${all.length} requests in ${seconds} s: ${answered.length} answered, ${refused.length} refused`)
  const figures = { calm: usual, answered: p99(answered.map(took)), refused: p99(refused.map(took)) }
  yield* [
    {
      what: `ten times too many requests for ${seconds} s: p99 of those accepted against a full server`,
      ...{ figures, measured: figures.answered / usual, goal: 2, bound: 'most', unit: 'x' },
    },
    { what: 'the same: p99 of a refusal', ...{ figures, measured: figures.refused, goal: 50, bound: 'most', unit: ' ms' } },
    {
      what: 'the same: neither answered nor refused',
      figures: { asked: all.length, answered: answered.length, refused: refused.length },
      ...{ measured: all.length - answered.length - refused.length, goal: 0, bound: 'most', unit: '' },
    },
  ]
}

const number = ({ measured, unit }: Row) => (unit === '' ? String(measured) : measured.toFixed(unit === '%' ? 1 : 2))
function printed(row: Row): string {
  const { what, figures, measured, goal, bound, unit } = row
  const reached = (bound === 'least' ? measured >= goal : measured <= goal) ? 'reached' : 'missed'
  const shown = Object.entries(figures).map(([side, value]) => `${side} ${value.toFixed(1)}`)
  return `| ${what} | ${number(row)}${unit} | ${goal}${unit} | ${reached} | ${shown.join(', ')} |\n`
}

const parts = { throughput, share, 'long-prompt': longPrompt, 'second-turn': secondTurn, answers, autopilot, overload }
const loadBefore = loadavg()[0]!
const rows: Row[] = []
try {
  if (!flags.json)
    process.stdout.write(
      `${name}, 8 bits; ${cpus()[0]!.model}, ${threads} threads, at most ${rounds} rounds\n\n| | measured | goal | | of |\n|---|---|---|---|---|\n`,
    )
  for (const part of flags.only.split(',') as (keyof typeof parts)[]) {
    const began = performance.now()
    if (began > 60_000 * Number(flags.minutes) - 30_000) {
      process.stdout.write(
        flags.json ? '' : `| ${part} | not measured: --minutes ${flags.minutes} are over; --only ${part} | | | |\n`,
      )
      continue
    }
    for await (const row of parts[part]()) {
      rows.push(row)
      if (!flags.json) process.stdout.write(printed(row))
    }
    say(`${part}: ${((performance.now() - began) / 1000).toFixed(0)} s, load ${loadavg()[0]!.toFixed(1)}`)
  }
} finally {
  clients.stop()
  await model.dispose()
  await Promise.all(open.map((one) => one.close()))
  if (!flags.keep) await rm(folder, { recursive: true, force: true })
}
const load = [loadBefore, loadavg()[0]!]
if (flags.json)
  process.stdout.write(`${JSON.stringify({ shape: name, cpu: cpus()[0]!.model, threads, rounds, load, rows }, null, 2)}\n`)
else process.stdout.write(`\nload ${load.map((one) => one.toFixed(1)).join(' to ')}\n`)
