/**
 * The server under clients, over HTTP: throughput beside llama.cpp with as many sequences, what the server itself takes of a step,
 * a long prompt's effect on others, the second turn of a chat, and P chosen by load. A published shape, random weights, 8 bits.
 *
 *     npm run bench:serve                        1.6B, all of it
 *     npm run bench:serve -- --layers 4 --only throughput,second-turn --rounds 2 --json
 *
 * The model is written below .cache and kept with --keep.
 */
import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { loadavg } from 'node:os'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { spreadOf } from '@parscale/core/internal'
import { publishedModel } from '@parscale/core/internal/cost'
import { modelFiles, type SchedulerOptions, TextModel } from '@parscale/core/internal/generation'
import { openModelFolder } from '@parscale/core/internal/node'
import type { ServerOptions } from '@parscale/core/internal/server'
import { byteTokenizerFiles, createTokenizer } from '@parscale/core/internal/tokenizer'
import { writeSyntheticModel } from '../packages/parscale/src/bench/synthetic-model.ts'
import { startModel } from '../packages/parscale/src/load/decode-engine.ts'
import { listening } from '../packages/parscale/src/serve/testing/listening.ts'
import { pythonEnvironment } from '../scripts/python-env.mjs'
import { loadPeer } from './llama-peer.ts'

const { values: flags } = parseArgs({
  options: {
    shape: { type: 'string', default: '1.6B' },
    layers: { type: 'string' },
    rounds: { type: 'string', default: '3' },
    tokens: { type: 'string', default: '16' },
    clients: { type: 'string', default: '1,8,32' },
    /** Tokens of the long prompt, and of the chat. */
    long: { type: 'string', default: '4000' },
    chat: { type: 'string', default: '2000' },
    chunk: { type: 'string', default: '32' },
    threads: { type: 'string', default: '2' },
    only: { type: 'string', default: 'throughput,share,long-prompt,second-turn,autopilot' },
    keep: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
  },
})
const [rounds, tokens, long, chat, chunk, threads] = [
  flags.rounds,
  flags.tokens,
  flags.long,
  flags.chat,
  flags.chunk,
  flags.threads,
].map(Number) as [number, number, number, number, number, number]
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
async function serving(scheduling: SchedulerOptions, options: Partial<ServerOptions> = {}) {
  const text = new TextModel(model, tokenizer, undefined, [], scheduling)
  const server = await listening({ m: text }, options)
  // The model outlives its servers.
  return { ...server, text, close: () => server.stop() }
}

/** Milliseconds at which the request's tokens came, counted from its start. Random weights end no text. */
async function stream(url: string, promptIds: readonly number[], maxTokens: number, more: object = {}): Promise<number[]> {
  const started = performance.now()
  const response = await fetch(`${url}/v1/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      model: 'm',
      prompt: promptIds,
      max_tokens: maxTokens,
      temperature: 0,
      stream: true,
      parscale: { p: 1 },
      ...more,
    }),
  })
  if (!response.ok) throw new Error(await response.text())
  const times: number[] = []
  const decoder = new TextDecoder()
  let held = ''
  for await (const bytes of response.body!) {
    held += decoder.decode(bytes, { stream: true })
    const events = held.split('\n\n')
    held = events.pop()!
    for (const event of events) {
      const text = event === 'data: [DONE]' ? '' : ((JSON.parse(event.slice(6)).choices[0]?.text as string | undefined) ?? '')
      // Ids below 256 are bytes; the others are spelled w and their number.
      const count = text.match(/w\d+|[\s\S]/g)?.length ?? 0
      for (let i = 0; i < count; i++) times.push(performance.now() - started)
    }
  }
  return times
}

const gaps = (times: readonly number[]) => times.slice(1).map((time, i) => time - times[i]!)
/** Tokens a second while all were generating: from the last first token to the first last one. */
function rate(all: readonly (readonly number[])[]): number {
  const [from, to] = [Math.max(...all.map((times) => times[0]!)), Math.min(...all.map((times) => times.at(-1)!))]
  const inside = all.reduce((sum, times) => sum + times.filter((time) => time > from && time <= to).length, 0)
  return (1000 * inside) / (to - from)
}
const median = (values: readonly number[]) => spreadOf(values).median

interface Figure {
  readonly what: string
  readonly figures: Readonly<Record<string, number>>
  readonly ratio: number
}

async function throughput(): Promise<Figure[]> {
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
  const server = await serving({})
  const found: Figure[] = []
  for (const clients of flags.clients.split(',').map(Number)) {
    const decoder = await peer.openDecoder({ sequences: clients, contextTokens: 64, steps: (rounds + 1) * tokens })
    const [ours, theirs]: [number[], number[]] = [[], []]
    for (let round = 0; round <= rounds; round++) {
      const all = await Promise.all(Array.from({ length: clients }, (_, i) => stream(server.url, ids(64, i + round), tokens)))
      const steps: number[] = []
      while (steps.length < tokens) steps.push(await decoder.step())
      if (round === 0) continue // warms up
      ours.push(rate(all))
      theirs.push((1000 * clients) / median(steps))
      say(`${clients} clients: ${ours.at(-1)!.toFixed(1)} tokens/s, llama.cpp ${theirs.at(-1)!.toFixed(1)}`)
    }
    found.push({
      what: `${clients} clients, tokens/s against llama.cpp`,
      figures: { ours: median(ours), llama: median(theirs) },
      ratio: median(ours.map((one, i) => one / theirs[i]!)),
    })
    await decoder.dispose()
  }
  await server.close()
  await peer.dispose()
  return found
}

/** Eight clients over HTTP against the same eight requests of the scheduler itself. */
async function share(): Promise<Figure[]> {
  const server = await serving({})
  const [http, direct]: [number[], number[]] = [[], []]
  for (let round = 0; round <= rounds; round++) {
    const over = await Promise.all(Array.from({ length: 8 }, (_, i) => stream(server.url, ids(64, i), tokens)))
    const within = await Promise.all(
      Array.from({ length: 8 }, async (_, i) => {
        const times: number[] = []
        await server.text.scheduler.submit({
          promptIds: ids(64, i),
          p: 1,
          maxTokens: tokens,
          sampling: { temperature: 0 },
          onToken: () => void times.push(performance.now()),
        })
        return times
      }),
    )
    if (round === 0) continue
    http.push(median(over.flatMap(gaps)))
    direct.push(median(within.flatMap(gaps)))
  }
  await server.close()
  return [
    {
      what: 'a step of 8 rows over HTTP against the scheduler alone, ms',
      figures: { http: median(http), scheduler: median(direct) },
      ratio: median(http.map((one, i) => one / direct[i]!)),
    },
  ]
}

async function longPrompt(): Promise<Figure[]> {
  const server = await serving({ promptTokensBeside: chunk })
  const [before, beside]: [number[], number[]] = [[], []]
  for (let round = 0; round < rounds; round++) {
    const left = new AbortController()
    let from = Infinity
    let to = Infinity
    const others = Array.from({ length: 4 }, async (_, i) => {
      const times: number[] = []
      await server.text.scheduler
        .submit({
          promptIds: ids(64, i),
          p: 1,
          maxTokens: 20_000,
          sampling: { temperature: 0 },
          signal: left.signal,
          onToken: () => void times.push(performance.now()),
        })
        .catch(() => {})
      return times
    })
    await new Promise((resolve) => setTimeout(resolve, 3000))
    from = performance.now()
    const [first] = await stream(server.url, ids(long, round + 9), 1)
    to = from + first!
    left.abort()
    for (const times of await Promise.all(others)) {
      // The first second holds their own prompts.
      for (const [i, time] of times.entries())
        if (i > 3) (time < from ? before : time < to ? beside : []).push(time - times[i - 1]!)
    }
    say(`prompt of ${long} tokens in ${(first! / 1000).toFixed(1)} s`)
  }
  await server.close()
  const p99 = (values: number[]) => values.toSorted((a, b) => a - b)[Math.floor(0.99 * values.length)]!
  return [
    {
      what: `others' ms a token while ${long} tokens of a prompt come in, ${chunk} a step: median`,
      figures: { before: median(before), beside: median(beside) },
      ratio: median(beside) / median(before),
    },
    { what: 'the same: p99', figures: { before: p99(before), beside: p99(beside) }, ratio: p99(beside) / p99(before) },
  ]
}

async function secondTurn(): Promise<Figure[]> {
  const server = await serving({ keptBytes: 4e9 })
  const [first, second]: [number[], number[]] = [[], []]
  for (let round = 0; round < rounds; round++) {
    const prompt = ids(chat, round + 30)
    first.push((await stream(server.url, prompt, 8))[0]!)
    second.push((await stream(server.url, [...prompt, ...ids(30, 5)], 8))[0]!)
  }
  await server.close()
  return [
    {
      what: `first token of a second turn after ${chat} tokens against the first, ms`,
      figures: { first: median(first), second: median(second) },
      ratio: median(second.map((one, i) => one / first[i]!)),
    },
  ]
}

async function autopilot(): Promise<Figure[]> {
  const server = await serving({})
  const [auto, fixed]: [number[], number[]] = [[], []]
  for (let round = 0; round < rounds; round++) {
    const run = async (p: 'auto' | 8) => {
      const started = performance.now()
      await Promise.all(Array.from({ length: 8 }, (_, i) => stream(server.url, ids(16, i + round), tokens, { parscale: { p } })))
      return (8000 * tokens) / (performance.now() - started)
    }
    auto.push(await run('auto'))
    fixed.push(await run(8))
  }
  await server.close()
  return [
    {
      what: '8 clients, tokens/s: P by load against P = 8',
      figures: { auto: median(auto), fixed: median(fixed) },
      ratio: median(auto.map((one, i) => one / fixed[i]!)),
    },
  ]
}

const parts = { throughput, share, 'long-prompt': longPrompt, 'second-turn': secondTurn, autopilot }
const loadBefore = loadavg()[0]!
const results: Figure[] = []
try {
  for (const part of flags.only.split(',') as (keyof typeof parts)[]) results.push(...(await parts[part]()))
} finally {
  await model.dispose()
  await Promise.all(open.map((one) => one.close()))
  if (!flags.keep) await rm(folder, { recursive: true, force: true })
}
const about = { shape: name, threads, rounds, load: [loadBefore, loadavg()[0]!] }
if (flags.json) process.stdout.write(`${JSON.stringify({ ...about, results }, null, 2)}\n`)
else {
  process.stdout.write(
    `${name}, 8 bits, ${threads} threads, ${rounds} rounds; load ${about.load.map((one) => one.toFixed(1)).join(' to ')}\n`,
  )
  for (const { what, figures, ratio } of results) {
    const shown = Object.entries(figures).map(([side, value]) => `${side} ${value.toFixed(1)}`)
    process.stdout.write(`${what}: ${shown.join(', ')}; ${ratio.toFixed(2)}x\n`)
  }
}
