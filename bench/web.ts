/**
 * Models in a page of Chromium, on WASM: how long the model that ships takes to its first token, cold and from what is kept; and
 * SmolLM2 (Q4_1) beside wllama, from the same file, in turns in the same browser.
 *
 *     node scripts/fetch-smollm2.mjs && (cd bench && npm ci)
 *     npm run bench:web [-- --threads 2 --rounds 3 --tokens 48 --json]
 *
 * transformers.js is not measured: it runs ONNX files of its own, which no package registry has. Eight rows stand for P = 8, as the
 * file has no streams: they are eight texts at once, which read the same weights.
 */
import { existsSync } from 'node:fs'
import { cpus, loadavg } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { parseArgs } from 'node:util'
import type * as web from '@parscale/core/web'
import type { Page } from 'playwright-core'
import { bundlePage, launch, noBrowser, removeFolder, serveSite } from '../test/support/browser.ts'
import { root } from '../test/support/markdown.ts'

const { values } = parseArgs({
  options: {
    threads: { type: 'string', default: '2' },
    rounds: { type: 'string', default: '3' },
    tokens: { type: 'string', default: '48' },
    json: { type: 'boolean', default: false },
  },
})
const [threads, rounds, tokens] = [values.threads, values.rounds, values.tokens].map(Number) as [number, number, number]
const gguf = 'SmolLM2-135M-Instruct.Q4_1.gguf'
const wllama = join(root, 'bench/node_modules/@wllama/wllama')
if (noBrowser) throw new Error(noBrowser)

/** In the page. */
interface Globals {
  readonly web: typeof web
  model: web.BrowserModel
  peer: {
    createCompletion(options: object): Promise<void>
  }
}

const folder = await bundlePage(`
  import * as web from '@parscale/core/web'
  Object.assign(globalThis, { web, ready: true })
`)
const site = await serveSite(
  folder,
  {
    '/models/small/': join(root, 'packages/parscale/models/small'),
    '/smollm2/': join(root, '.cache/smollm2'),
    '/wllama/': join(wllama, 'esm'),
  },
  // wllama starts its worker from a blob.
  { isolated: true, policy: "default-src 'self' blob: data: 'unsafe-eval' 'wasm-unsafe-eval'" },
)
const browser = await launch()

async function open(): Promise<Page> {
  const page = await (await browser.newContext()).newPage()
  // tsx wraps functions that have names.
  await page.addInitScript('globalThis.__name = (named) => named')
  await page.goto(site.url)
  await page.waitForFunction(() => 'ready' in globalThis)
  return page
}

/** Milliseconds from the call that loads a model to its first token. */
const firstToken = (page: Page) =>
  page.evaluate(async (threads) => {
    const globals = globalThis as unknown as Globals
    const began = performance.now()
    const source = { url: '/models/small/' }
    const model = await globals.web.loadInBrowser({ source, device: 'wasm', threads, runtimeFiles: '/ort/' })
    for await (const _ of model.stream('The whale', { p: 8, maxTokens: 1 })) break
    const ms = performance.now() - began
    await model.dispose()
    return ms
  }, threads)

/** Milliseconds per token behind the first, of `rows` texts at once. */
const ours = (page: Page, rows: number, prompt: string) =>
  page.evaluate(
    async ({ rows, prompt, tokens }) => {
      const { model } = globalThis as unknown as Globals
      const one = async () => {
        const times: number[] = []
        for await (const chunk of model.stream(prompt, { maxTokens: tokens, temperature: 0 }))
          for (const _ of chunk.tokens) times.push(performance.now())
        return (times.at(-1)! - times[0]!) / (times.length - 1)
      }
      return Math.max(...(await Promise.all(Array.from({ length: rows }, one))))
    },
    { rows, prompt, tokens },
  )

const theirs = (page: Page, prompt: string) =>
  page.evaluate(
    async ({ prompt, tokens }) => {
      const { peer } = globalThis as unknown as Globals
      const times: number[] = []
      const onData = () => times.push(performance.now())
      await peer.createCompletion({ prompt, max_tokens: tokens, temperature: 0, stream: true, onData })
      // The last says why it ended.
      return (times.at(-2)! - times[0]!) / (times.length - 2)
    },
    { prompt, tokens },
  )

const least = (list: readonly number[]) => Math.min(...list)
const results: { name: string; ms: number; note: string }[] = []
const add = (name: string, ms: number, note = '') => {
  results.push({ name, ms, note })
  if (!values.json) console.log(`${name.padEnd(56)} ${ms.toFixed(1).padStart(9)} ms  ${note}`)
}

try {
  if (!values.json) console.log(`${cpus()[0]?.model.trim()}, ${cpus().length} threads, load ${loadavg()[0]!.toFixed(1)}\n`)
  const colds: number[] = []
  const warms: number[] = []
  for (let round = 0; round < rounds; round++) {
    const page = await open()
    colds.push(await firstToken(page))
    warms.push(await firstToken(page))
    await page.context().close()
  }
  add('model that ships, first token, cold', least(colds), 'goal: 3000')
  add('model that ships, first token, kept', least(warms), 'goal: 1000')

  if (existsSync(join(root, '.cache/smollm2', gguf))) {
    const page = await open()
    await page.evaluate(
      async ({ url, threads }) => {
        const globals = globalThis as unknown as Globals
        globals.model = await globals.web.loadInBrowser({ source: { url }, device: 'wasm', threads, runtimeFiles: '/ort/' })
      },
      { url: `/smollm2/${gguf}`, threads },
    )
    const withPeer = existsSync(wllama)
    if (withPeer)
      await page.evaluate(
        async ({ url, threads }) => {
          const globals = globalThis as unknown as Globals
          const { Wllama } = await import(new URL('/wllama/index.js', location.href).href)
          const peer = new Wllama({ default: '/wllama/wasm/wllama.wasm' })
          const file = await (await fetch(url)).blob()
          await peer.loadModel([file], { n_threads: threads, n_ctx: 1024, n_gpu_layers: 0 })
          globals.peer = peer
        },
        { url: `/smollm2/${gguf}`, threads },
      )
    const prompt = 'Once upon a time, in a small town by the sea, there lived'
    const [one, eight, peer]: number[][] = [[], [], []]
    for (let round = 0; round < rounds; round++) {
      one!.push(await ours(page, 1, prompt))
      if (withPeer) peer!.push(await theirs(page, prompt))
      eight!.push(await ours(page, 8, prompt))
    }
    add(`SmolLM2, ${threads} threads, a token, one row`, least(one!))
    if (withPeer)
      add(
        `wllama 3.13.0, ${threads} threads, a token`,
        least(peer!),
        `${(least(peer!) / least(one!)).toFixed(2)}x ours, goal: 1.2`,
      )
    add(
      `SmolLM2, ${threads} threads, a step of eight rows`,
      least(eight!),
      `${(least(eight!) / least(one!)).toFixed(2)}x one row`,
    )
    const long = await ours(page, 1, 'The sea is wide. '.repeat(400))
    add(`SmolLM2, ${threads} threads, a token behind some 2,000`, long, `${(long / least(one!)).toFixed(2)}x, goal: 1.3`)
  }
  if (values.json) console.log(JSON.stringify({ cpu: cpus()[0]?.model, load: loadavg(), threads, results }))
} finally {
  await browser.close()
  await site.close()
  removeFolder(folder)
}
process.exit(0)
