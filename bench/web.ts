/**
 * Models in a page of Chromium, on WASM: how long the model that ships takes to its first token, cold and from what is kept; what
 * page and GPU process hold behind a hundred texts; and SmolLM2 (Q4_1) beside wllama, from the same file, and transformers.js, from
 * the ONNX files that transformers-js-model.py writes, in turns in the same browser, and behind 2,048 tokens beside 128.
 *
 *     node scripts/fetch-smollm2.mjs && (cd bench && npm ci), and for transformers.js what transformers-js-model.py says
 *     npm run bench:web [-- --threads 2 --rounds 3 --tokens 48 --only first,memory,smollm2,long --json]
 *
 * Times are those of the clock; beside them stands the processor time of page and GPU process, which other work on the machine
 * changes little.
 *
 * transformers.js runs in a worker, as we do. Eight rows stand for P = 8, as the file has no streams: they are eight texts at once,
 * which read the same weights.
 */
import { existsSync, mkdtempSync } from 'node:fs'
import { cpus, loadavg, tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { parseArgs } from 'node:util'
import type * as web from '@parscale/core/web'
import { build } from 'esbuild'
import type { Page } from 'playwright-core'
import { bundlePage, launch, launchProfile, noBrowser, processUse, removeFolder, serveSite } from '../test/support/browser.ts'
import { root } from '../test/support/markdown.ts'

const { values } = parseArgs({
  options: {
    threads: { type: 'string', default: '2' },
    rounds: { type: 'string', default: '3' },
    tokens: { type: 'string', default: '48' },
    only: { type: 'string', default: 'first,memory,smollm2,long' },
    json: { type: 'boolean', default: false },
  },
})
const [threads, rounds, tokens] = [values.threads, values.rounds, values.tokens].map(Number) as [number, number, number]
const only = new Set(values.only.split(','))
const gguf = 'SmolLM2-135M-Instruct.Q4_1.gguf'
const wllama = join(root, 'bench/node_modules/@wllama/wllama')
const transformers = join(root, 'bench/node_modules/@huggingface/transformers')
const onnxFolder = join(root, '.cache/smollm2-onnx')
/** What transformers.js calls the weights, and their file. */
const dtypes = Object.entries({ q8: 'model_quantized', q4: 'model_q4', fp32: 'model' })
  .filter(([, name]) => existsSync(transformers) && existsSync(join(onnxFolder, `onnx/${name}.onnx`)))
  .map(([dtype]) => dtype)
if (noBrowser) throw new Error(noBrowser)

/** In the page. */
interface Globals {
  readonly web: typeof web
  model: web.BrowserModel
  /** Takes the processor time at a first token. */
  first(): Promise<void>
  peer: {
    createCompletion(options: object): Promise<void>
  }
  /** The worker of transformersWorker. */
  transformers: Worker
}

/** Loads what it is sent as `load`; then writes behind the prompts it is sent, and tells of each token. */
const transformersWorker = `
  import { AutoModelForCausalLM, AutoTokenizer, env } from '@huggingface/transformers'
  Object.assign(env, { allowRemoteModels: false, allowLocalModels: true, localModelPath: '/', useBrowserCache: false, useWasmCache: false })
  let [model, tokenizer] = []
  onmessage = async ({ data: { load, prompt, tokens } }) => {
    try {
      if (load) {
        Object.assign(env.backends.onnx.wasm, { numThreads: load.threads, wasmPaths: '/transformers-ort/' })
        tokenizer = await AutoTokenizer.from_pretrained('smollm2-onnx')
        model = await AutoModelForCausalLM.from_pretrained('smollm2-onnx', { dtype: load.dtype, device: 'wasm' })
        return postMessage({ done: env.version })
      }
      const inputs = tokenizer(prompt)
      const prompted = inputs.input_ids.dims[1]
      let begun = false
      // The prompt comes first.
      const streamer = { put: () => (begun ? postMessage({}) : (begun = true)), end() {} }
      const out = await model.generate({ ...inputs, do_sample: false, min_new_tokens: tokens, max_new_tokens: tokens, streamer })
      postMessage({ done: tokenizer.decode(out.slice(0, [prompted, null]).tolist()) })
    } catch (error) {
      postMessage({ failed: String(error?.stack ?? error) })
    }
  }
`

const folder = await bundlePage(`
  import * as web from '@parscale/core/web'
  Object.assign(globalThis, { web, ready: true })
`)
if (dtypes.length > 0)
  await build({
    stdin: { contents: transformersWorker, resolveDir: join(root, 'bench'), sourcefile: 'transformers.js' },
    ...{ bundle: true, format: 'esm', platform: 'browser', minify: true, logLevel: 'error' },
    outfile: join(folder, 'transformers.js'),
  })
const site = await serveSite(
  folder,
  {
    '/models/small/': join(root, 'packages/parscale/models/small'),
    '/smollm2/': join(root, '.cache/smollm2'),
    '/wllama/': join(wllama, 'esm'),
    '/smollm2-onnx/': onnxFolder,
    '/transformers-ort/': join(root, 'bench/node_modules/onnxruntime-web/dist'),
  },
  // wllama starts its worker from a blob.
  { isolated: true, cached: true, policy: "default-src 'self' blob: data: 'unsafe-eval' 'wasm-unsafe-eval'" },
)
const browser = await launch()

const open = async () => await opened(await (await browser.newContext()).newPage())

async function opened(page: Page): Promise<Page> {
  // tsx wraps functions that have names.
  await page.exposeFunction('first', async () => {
    atFirst = await seconds()
  })
  await page.addInitScript('globalThis.__name = (named) => named')
  await page.goto(site.url)
  await page.waitForFunction(() => 'ready' in globalThis)
  return page
}

/** Milliseconds by the clock, and of the processor. */
interface Times {
  readonly ms: number
  readonly cpu: number
}

const seconds = async (of = browser) => (await processUse(of)).seconds

/**
 * From the call that loads a model to its first token, in a browser that has never seen it; and in one that has it, whose page is
 * opened anew: what it kept is the model's files, and the runtime with its compiled code.
 */
async function firstTokens(): Promise<[cold: Times, kept: Times]> {
  const profile = mkdtempSync(join(tmpdir(), 'parscale-profile-'))
  const visit = async (times: number): Promise<Times> => {
    const context = await launchProfile(profile)
    try {
      let result: Times = { ms: Number.NaN, cpu: Number.NaN }
      for (let i = 0; i < times; i++) {
        const page = await opened(await context.newPage())
        const before = await seconds(context.browser()!)
        const ms = await firstTokenIn(page)
        result = { ms, cpu: 1000 * ((await seconds(context.browser()!)) - before) }
        // Compiled code is kept some time after it was made.
        await page.waitForTimeout(5000)
        await page.close()
      }
      return result
    } finally {
      await context.close()
    }
  }
  try {
    return [await visit(1), await visit(2)]
  } finally {
    removeFolder(profile)
  }
}

const firstTokenIn = (page: Page) =>
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

type MemoryDevice = 'wasm' | 'webgpu'
/** A GPU that is computed by the CPU takes a second or so for a step. */
const textLength: Readonly<Record<MemoryDevice, number>> = { wasm: 32, webgpu: 4 }

/** Bytes of page and GPU process before and behind 100 texts of the model that ships, and the times of these. */
async function hundredTexts(page: Page, device: MemoryDevice): Promise<[before: number, after: number, times: Times]> {
  const { backend } = await page.evaluate(
    async ({ device, threads }) => {
      const globals = globalThis as unknown as Globals
      const source = { url: '/models/small/' }
      globals.model = await globals.web.loadInBrowser({ source, device, threads, runtimeFiles: '/ort/' })
      return globals.model.info
    },
    { device, threads },
  )
  if (backend !== device) throw new Error(`${device} was asked for, ${backend} runs`)
  const texts = (count: number) =>
    page.evaluate(
      async ({ count, maxTokens }) => {
        const { model } = globalThis as unknown as Globals
        for (let i = 0; i < count; i++) await model.generate('The whale', { p: 8, maxTokens, seed: i })
        // Waits for a collection of garbage.
        await (performance as unknown as { measureUserAgentSpecificMemory(): Promise<unknown> }).measureUserAgentSpecificMemory()
      },
      { count, maxTokens: textLength[device] },
    )
  const held = async () => (await processUse(browser)).memoryBytes
  await texts(30)
  const before = await held()
  const [began, processor] = [performance.now(), await seconds()]
  await texts(100)
  return [before, await held(), { ms: performance.now() - began, cpu: 1000 * ((await seconds()) - processor) }]
}

/** A page that has loaded SmolLM2. */
async function openSmollm2(kv: 'f32' | 'int8'): Promise<Page> {
  const page = await open()
  await page.evaluate(
    async ({ url, threads, kv }) => {
      const globals = globalThis as unknown as Globals
      globals.model = await globals.web.loadInBrowser({ source: { url }, device: 'wasm', threads, kv, runtimeFiles: '/ort/' })
    },
    { url: `/smollm2/${gguf}`, threads, kv },
  )
  return page
}

let atFirst = 0
/** Per token behind the first, of `rows` texts at once. */
async function ours(page: Page, rows: number, prompt: string): Promise<Times> {
  const ms = await page.evaluate(
    async ({ rows, prompt, tokens }) => {
      const { model, first } = globalThis as unknown as Globals
      let begun = 0
      const one = async () => {
        const times: number[] = []
        for await (const chunk of model.stream(prompt, { maxTokens: tokens, temperature: 0 }))
          for (const _ of chunk.tokens) {
            times.push(performance.now())
            if (times.length === 1 && ++begun === rows) await first()
          }
        return (times.at(-1)! - times[0]!) / (times.length - 1)
      }
      return Math.max(...(await Promise.all(Array.from({ length: rows }, one))))
    },
    { rows, prompt, tokens },
  )
  return { ms, cpu: (1000 * ((await seconds()) - atFirst)) / (tokens - 1) }
}

async function theirs(page: Page, prompt: string): Promise<Times> {
  const ms = await page.evaluate(
    async ({ prompt, tokens }) => {
      const { peer, first } = globalThis as unknown as Globals
      const times: number[] = []
      let told: Promise<void> | undefined
      const onData = () => {
        times.push(performance.now())
        told ??= first()
      }
      await peer.createCompletion({ prompt, max_tokens: tokens, temperature: 0, stream: true, onData })
      await told
      // The last says why it ended.
      return (times.at(-2)! - times[0]!) / (times.length - 2)
    },
    { prompt, tokens },
  )
  return { ms, cpu: (1000 * ((await seconds()) - atFirst)) / (tokens - 1) }
}

/** Sends transformers.js something, and gives its answer; `first` is called at the first token. */
const transformersAnswer = (page: Page, message: object) =>
  page.evaluate(async (message) => {
    const { transformers, first } = globalThis as unknown as Globals
    const times: number[] = []
    let told: Promise<void> | undefined
    const done = await new Promise<string>((resolve, reject) => {
      transformers.onmessage = ({ data: { done, failed } }) => {
        if (failed) return reject(new Error(failed))
        if (done !== undefined) return resolve(done)
        times.push(performance.now())
        told ??= first()
      }
      transformers.onerror = ({ message }) => reject(new Error(message))
      transformers.postMessage(message)
    })
    await told
    return { done, ms: (times.at(-1)! - times[0]!) / (times.length - 1), tokens: times.length }
  }, message)

/** A page with a worker of transformers.js that has loaded its model, and its version. */
async function openTransformers(dtype: string): Promise<{ page: Page; version: string }> {
  const page = await open()
  await page.evaluate(() => {
    Object.assign(globalThis, { transformers: new Worker('/transformers.js', { type: 'module' }) })
  })
  const { done } = await transformersAnswer(page, { load: { dtype, threads } })
  return { page, version: done }
}

async function transformersTimes(page: Page, prompt: string): Promise<Times> {
  const { ms, tokens: count } = await transformersAnswer(page, { prompt, tokens })
  if (count !== tokens) throw new Error(`transformers.js gave ${count} tokens, ${tokens} were asked for`)
  return { ms, cpu: (1000 * ((await seconds()) - atFirst)) / (tokens - 1) }
}

const least = (list: readonly Times[]): Times => ({
  ms: Math.min(...list.map(({ ms }) => ms)),
  cpu: Math.min(...list.map(({ cpu }) => cpu)),
})
const results: { name: string; ms: number; cpu: number; note: string }[] = []
const add = (name: string, { ms, cpu }: Times, note = '') => {
  results.push({ name, ms, cpu, note })
  if (!values.json)
    console.log(`${name.padEnd(52)} ${ms.toFixed(1).padStart(9)} ms, processor ${cpu.toFixed(1).padStart(9)} ms  ${note}`)
}
const ratio = (a: Times, b: Times) => `${(a.ms / b.ms).toFixed(2)}x (processor ${(a.cpu / b.cpu).toFixed(2)}x)`

try {
  if (!values.json) console.log(`${cpus()[0]?.model.trim()}, ${cpus().length} threads, load ${loadavg()[0]!.toFixed(1)}\n`)
  if (only.has('first')) {
    const colds: Times[] = []
    const warms: Times[] = []
    for (let round = 0; round < rounds; round++) {
      const [cold, warm] = await firstTokens()
      colds.push(cold)
      warms.push(warm)
    }
    add('model that ships, first token, cold', least(colds), 'goal: 3000')
    add('model that ships, first token, kept', least(warms), 'goal: 1000')
  }

  if (only.has('memory')) {
    for (const device of ['wasm', 'webgpu'] as const) {
      const page = await open()
      const [before, after, times] = await hundredTexts(page, device)
      const more = `${((after - before) / 1e6).toFixed(1)} MB more in page and GPU process, goal: 20`
      add(`${device}, 100 texts of ${textLength[device]} tokens, P = 8`, times, more)
      await page.context().close()
    }
  }

  if ((only.has('smollm2') || only.has('long')) && existsSync(join(root, '.cache/smollm2', gguf))) {
    const page = await openSmollm2('f32')
    const withPeer = only.has('smollm2') && existsSync(wllama)
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
    const [one, eight, peer]: Times[][] = [[], [], []]
    const others: { dtype: string; page: Page; version: string; times: Times[] }[] = []
    for (const dtype of only.has('smollm2') ? dtypes : []) others.push({ dtype, ...(await openTransformers(dtype)), times: [] })
    for (let round = 0; only.has('smollm2') && round < rounds; round++) {
      one!.push(await ours(page, 1, prompt))
      if (withPeer) peer!.push(await theirs(page, prompt))
      for (const { page, times } of others) times.push(await transformersTimes(page, prompt))
      eight!.push(await ours(page, 8, prompt))
    }
    if (only.has('smollm2')) {
      add(`SmolLM2, ${threads} threads, a token, one row`, least(one!))
      if (withPeer)
        add(`wllama 3.13.0, ${threads} threads, a token`, least(peer!), `${ratio(least(peer!), least(one!))} ours, goal: 1.2`)
      for (const { dtype, version, times } of others)
        add(
          `transformers.js ${version} ${dtype}, ${threads} threads, a token`,
          least(times),
          `${ratio(least(times), least(one!))} ours, goal: 1.2`,
        )
      add(`SmolLM2, ${threads} threads, a step of eight rows`, least(eight!), `${ratio(least(eight!), least(one!))} one row`)
    }
    if (only.has('long')) {
      // "The sea is wide. " has five tokens. Of the 2,048 positions some are for what is written.
      const sentences = { near: 24, far: Math.floor((2040 - tokens) / 5) }
      const pages = { f32: page, int8: await openSmollm2('int8') }
      for (const [kv, page] of Object.entries(pages)) {
        const times: Record<keyof typeof sentences, Times[]> = { near: [], far: [] }
        for (let round = 0; round < rounds; round++)
          for (const place of ['near', 'far'] as const)
            times[place].push(await ours(page, 1, 'The sea is wide. '.repeat(sentences[place])))
        const [near, far] = [least(times.near), least(times.far)]
        const name = `SmolLM2, ${threads} threads, keys in ${kv}, a token behind`
        add(`${name} ${5 * sentences.near}`, near)
        add(`${name} ${5 * sentences.far}`, far, `${ratio(far, near)}, goal: 1.3`)
      }
    }
  }
  if (values.json) console.log(JSON.stringify({ cpu: cpus()[0]?.model, load: loadavg(), threads, results }))
} finally {
  await browser.close()
  await site.close()
  removeFolder(folder)
}
process.exit(0)
