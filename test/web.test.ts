/** Models in pages, in a real Chromium: what runs, what it says, where the model comes from, and what happens when something is not there. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { knownTokens } from '@parscale/core/internal/web'
import { loadTextModel } from 'parscale'
import type { Page } from 'playwright-core'
import { afterAll, afterEach, describe, expect, it } from 'vitest'
import { noBrowser, openPage } from './support/browser.ts'
import { writeLargeModel } from './support/large-model.ts'
import { readDocument, root } from './support/markdown.ts'
import { loadedFrom, type PageGlobals, webPages } from './support/web-page.ts'

const small = join(root, 'packages/parscale/models/small')
const made = mkdtempSync(join(tmpdir(), 'parscale-web-'))
afterAll(() => rmSync(made, { recursive: true }))
const large = join(made, 'large')
await writeLargeModel(large)
const mounts = {
  '/models/small/': small,
  '/models/large/': large,
  '/hub/org/small/resolve/main/': small,
  '/fixtures/': join(root, 'fixtures'),
}
const prompts = ['My fellow citizens', 'The whale', 'In the year of our Lord', 'Upon the deck']
const greedy = { maxTokens: 10, temperature: 0 }

it('known tokens are those of Node', async () => {
  const text = await loadTextModel(undefined, { threads: 1, engine: 'onnx' })
  const [known] = Object.values(knownTokens)
  if (!known) throw new Error('run scripts/known-tokens.ts')
  for (const [p, ids] of Object.entries(known.ids)) {
    const { tokens } = await text.generate(text.tokenizer.decode(known.promptIds), { p: Number(p), maxTokens: 8, temperature: 0 })
    expect(tokens.map(({ id }) => id)).toEqual(ids)
  }
  await text.dispose()
})

// WebGPU, which Chromium computes on the CPU, is tried in web-devices.nightly.test.ts.
describe.skipIf(noBrowser)('in Chromium', () => {
  const pages = webPages(mounts)
  afterEach(() => {
    pages.isolated.intercept = undefined
    expect(pages.isolated.failures.splice(0)).toEqual([])
  })

  /** What Node makes of the prompts, one by one. */
  const expected = async (p: number) => {
    const texts: string[] = []
    for (const prompt of prompts) texts.push((await pages.node.generate(prompt, { ...greedy, p })).text)
    return texts
  }
  const inPage = (page: Page, p: number) =>
    page.evaluate(
      async ([prompts, options]) => {
        const { model } = globalThis as unknown as PageGlobals
        const results = await Promise.all(prompts.map((prompt) => model.generate(prompt, options)))
        return results.map(({ text }) => text)
      },
      [prompts, { ...greedy, p }] as const,
    )

  it('runs on one thread where the page is not isolated, says so, and does what Node does', async () => {
    const { page, context, errors } = await openPage(pages.browser, pages.plain)
    const info = await loadedFrom(page, { source: { url: '/models/small' }, device: 'wasm', threads: 2 })
    expect(info).toMatchObject({ backend: 'wasm', build: 'step', threads: 1, selfTest: 'known tokens', availableP: [1, 2, 4, 8] })
    expect(info.notes).toEqual([expect.stringContaining('the page is not isolated')])
    for (const p of [1, 8]) expect(await inPage(page, p)).toEqual(await expected(p))

    // Weights, choices and a seed, as they stream.
    const options = { p: 4, seed: 7, temperature: 0.9, maxTokens: 8, streamChoices: true }
    const streamed = await page.evaluate(async (options) => {
      const { model } = globalThis as unknown as PageGlobals
      let text = ''
      const tokens = []
      for await (const chunk of model.stream('The people of', options)) {
        text += chunk.text
        tokens.push(...chunk.tokens)
      }
      return { text, tokens }
    }, options)
    const node = await pages.node.generate('The people of', options)
    expect(streamed.text).toBe(node.text)
    for (const [i, { streamWeights, streamChoices }] of streamed.tokens.entries()) {
      expect(streamChoices!.map(({ id }) => id)).toEqual(node.tokens[i]!.streamChoices!.map(({ id }) => id))
      for (const [stream, weight] of streamWeights.entries())
        expect(weight).toBeCloseTo(node.tokens[i]!.streamWeights[stream]!, 4)
    }

    // OpenAI's client, whole and in a stream, without any network.
    await context.setOffline(true)
    const before = pages.plain.requests.length
    const asked = { model: 'small', prompt: 'My fellow citizens', max_tokens: 10, temperature: 0 }
    const client = await page.evaluate(async (asked) => {
      const { model, OpenAI } = globalThis as unknown as PageGlobals
      const client = new OpenAI({
        ...{ baseURL: 'http://page/v1', apiKey: 'none', dangerouslyAllowBrowser: true, maxRetries: 0, fetch: model.fetch },
      })
      const { choices } = await client.completions.create(asked)
      let streamed = ''
      for await (const chunk of await client.completions.create({ ...asked, stream: true })) streamed += chunk.choices[0]!.text
      const refused = await client.completions.create({ ...asked, model: 'other' }).catch((error) => error.status)
      return { whole: choices[0]!.text, streamed, refused }
    }, asked)
    const [first] = await expected(8)
    expect(client).toEqual({ whole: first, streamed: first, refused: 404 })
    expect(pages.plain.requests.length).toBe(before)

    // Whoever leaves or aborts frees the rows; disposed of, the worker is gone.
    const left = await page.evaluate(async () => {
      const { model } = globalThis as unknown as PageGlobals
      const endless = { p: 8, maxTokens: 400, logitBias: new Map([[0, -Infinity]]) }
      let most = 0
      for await (const _ of model.stream('The whale', endless)) {
        most = (await model.memory()).cacheBytes
        break
      }
      const controller = new AbortController()
      const aborted = model.generate('The whale', { ...endless, signal: controller.signal }).catch((error) => error.name)
      setTimeout(() => controller.abort(), 50)
      const name = await aborted
      let cacheBytes = most
      for (let i = 0; i < 50 && cacheBytes > 0; i++) {
        await new Promise((resolve) => setTimeout(resolve, 20))
        cacheBytes = (await model.memory()).cacheBytes
      }
      await model.dispose()
      return { began: most > 0, name, cacheBytes, after: await model.generate('x').catch((error) => error.message) }
    })
    expect(left).toMatchObject({ began: true, name: 'AbortError', cacheBytes: 0, after: expect.stringMatching(/disposed of/) })
    // The browser tells of it a moment later.
    await expect.poll(() => page.workers()).toEqual([])
    expect(errors).toEqual([])
    await context.close()
  })

  it('runs on two threads where the page is isolated, from what is kept when the network is cut', async () => {
    const { page, context } = await openPage(pages.browser, pages.isolated)
    const options = { source: { url: '/models/small/' }, device: 'wasm', threads: 2 } as const
    const info = await loadedFrom(page, options)
    expect(info).toMatchObject({ backend: 'wasm', build: 'step', threads: 2, notes: [], kept: expect.any(String) })
    expect(await inPage(page, 8)).toEqual(await expected(8))
    await page.evaluate(() => (globalThis as unknown as PageGlobals).model.dispose())

    pages.isolated.intercept = ({ url, socket }) => {
      if (!url!.startsWith('/models/')) return false
      socket.destroy()
      return true
    }
    try {
      const again = await loadedFrom(page, options)
      expect(again.notes).toEqual([expect.stringMatching(/^What is kept runs: .* cannot be reached\.$/)])
      const byKey = await loadedFrom(page, { ...options, source: { kept: info.kept! } })
      expect(byKey.notes).toEqual([])
      expect(await inPage(page, 8)).toEqual(await expected(8))
      const kept = await page.evaluate(() => (globalThis as unknown as PageGlobals).web.keptModels())
      expect(kept.models).toEqual([
        expect.objectContaining({ key: info.kept, complete: true, sha256: expect.stringMatching(/^[0-9a-f]{64}$/) }),
      ])
      expect(kept.models[0]!.bytes).toBeGreaterThan(readFileSync(join(small, 'model.safetensors')).length)
      await page.evaluate((key) => (globalThis as unknown as PageGlobals).web.deleteKeptModel(key), info.kept!)
      expect((await page.evaluate(() => (globalThis as unknown as PageGlobals).web.keptModels())).models).toEqual([])
      await expect(loadedFrom(page, options)).rejects.toThrow(/cannot be reached .*check the network/)
      await expect(loadedFrom(page, { ...options, source: { kept: info.kept! } })).rejects.toThrow(
        /the browser may have deleted it to make room/,
      )
    } finally {
      pages.isolated.intercept = undefined
    }
    await context.close()
  })

  it('takes ONNX Runtime where the compiled step cannot be fetched, and says so', async () => {
    pages.isolated.intercept = ({ url }, response) => {
      if (!url!.startsWith('/wasm/')) return false
      response.writeHead(404).end()
      return true
    }
    const { page, context } = await openPage(pages.browser, pages.isolated)
    const info = await loadedFrom(page, { source: { url: '/models/small/' }, device: 'wasm', threads: 2, cache: false })
    expect(info).toMatchObject({ backend: 'wasm', build: 'wasm', threads: 2, selfTest: 'known tokens' })
    expect(info.notes).toEqual([
      expect.stringMatching(/^The step of parscale does not run this model here: .*step-relaxed.wasm answers 404\.$/),
    ])
    expect(await inPage(page, 8)).toEqual(await expected(8))
    await context.close()
  })

  it('tests a kept model once for all that runs it', async () => {
    const { page, context } = await openPage(pages.browser, pages.isolated)
    const load = (threads: number, cache: 'reload' | true = true) =>
      page.evaluate(
        async (options) => {
          const { web: api } = globalThis as unknown as PageGlobals
          const stages: string[] = []
          const onProgress = ({ stage }: { readonly stage: string }) => void stages.push(stage)
          const source = { url: '/models/small/' }
          const model = await api.loadInBrowser({ source, device: 'wasm', runtimeFiles: '/ort/', onProgress, ...options })
          const { selfTest } = model.info
          await model.dispose()
          return `${stages.includes('test') ? 'tested' : 'not tested'}: ${selfTest}`
        },
        { threads, cache },
      )
    expect(await load(2)).toBe('tested: known tokens')
    expect(await load(2)).toBe('not tested: known tokens')
    expect(await load(1)).toBe('tested: known tokens') // other threads
    expect(await load(1)).toBe('not tested: known tokens')
    expect(await load(1, 'reload')).toBe('tested: known tokens')
    // What is kept of it is of these very files.
    await page.evaluate(async () => {
      const storage = await navigator.storage.getDirectory()
      const models = await storage.getDirectoryHandle('parscale-models')
      for await (const folder of (models as unknown as { values(): AsyncIterable<FileSystemDirectoryHandle> }).values()) {
        const handle = await folder.getFileHandle('verdict.json')
        const kept = JSON.parse(await (await handle.getFile()).text())
        const stream = await handle.createWritable()
        await stream.write(JSON.stringify({ ...kept, digest: '0'.repeat(64) }))
        await stream.close()
      }
    })
    expect(await load(1)).toBe('tested: known tokens')
    await context.close()
  })

  it('goes on with a download that was cut off, and refuses one that was damaged', async () => {
    const { page, context } = await openPage(pages.browser, pages.isolated)
    const options = { source: { url: '/models/large/' }, device: 'wasm', threads: 1 } as const
    const bytes = readFileSync(join(large, 'model.safetensors'))
    pages.isolated.intercept = ({ url, headers }, response) => {
      if (url !== '/models/large/model.safetensors' || headers.range) return false
      response.setHeader('content-length', bytes.length)
      response.write(bytes.subarray(0, 4e6), () => setTimeout(() => response.destroy(), 200))
      return true
    }
    await expect(loadedFrom(page, options)).rejects.toThrow()
    pages.isolated.intercept = undefined
    const { models } = await page.evaluate(() => (globalThis as unknown as PageGlobals).web.keptModels())
    expect(models).toEqual([expect.objectContaining({ complete: false })])
    const before = pages.isolated.requests.length
    await loadedFrom(page, options)
    const ranges = pages.isolated.requests
      .slice(before)
      .flatMap((line) => /^\/models\/large\/model.safetensors bytes=(\d+)-$/.exec(line)?.[1] ?? [])
    expect(ranges.map(Number)).toEqual([expect.any(Number)])
    expect(Number(ranges[0])).toBeGreaterThan(1e6)
    expect(Number(ranges[0])).toBeLessThanOrEqual(4e6)
    const text = await loadTextModel(large, { threads: 1, engine: 'onnx' })
    const { tokens } = await text.generate(prompts[0]!, { ...greedy, p: 1 })
    await text.dispose()
    expect((await inPage(page, 1))[0]).toBe(tokens.map((token) => token.text).join(''))

    const listing = JSON.stringify(
      ['config.json', 'model.safetensors', 'tokenizer.json'].map((path) => ({
        ...{ path, size: readFileSync(join(large, path)).length, sha256: 'f'.repeat(64) },
      })),
    )
    pages.isolated.intercept = ({ url }, response) => {
      if (url !== '/models/large/files.json') return false
      response.setHeader('content-type', 'application/json')
      response.end(listing)
      return true
    }
    await expect(loadedFrom(page, { ...options, cache: 'reload' })).rejects.toThrow(/config\.json: was damaged on its way/)
    pages.isolated.intercept = undefined
    await context.close()
  })

  it('reads a file again that is another one of the same size, by its tag where the listing has no digests', async () => {
    const { page, context } = await openPage(pages.browser, pages.isolated)
    const options = { source: { url: '/models/large/' }, device: 'wasm', threads: 1 } as const
    const paths = ['config.json', 'model.safetensors', 'tokenizer.json']
    const listing = JSON.stringify(paths.map((path) => ({ path, size: statSync(join(large, path)).size })))
    const changed = readFileSync(join(large, 'model.safetensors'))
    changed.writeUInt8(changed.at(-1)! ^ 1, changed.length - 1)
    let etag: string | undefined = '"first"'
    let body = readFileSync(join(large, 'model.safetensors'))
    let whole = 0
    pages.isolated.intercept = ({ url, headers }, response) => {
      if (url === '/models/large/files.json') {
        response.setHeader('content-type', 'application/json')
        response.end(listing)
        return true
      }
      if (url !== '/models/large/model.safetensors') return false
      if (etag !== undefined) response.setHeader('etag', etag)
      const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(headers.range ?? '') ?? []
      if (from === undefined) {
        whole++
        response.end(body)
        return true
      }
      const end = Math.min(Number(to) + 1, body.length)
      response.setHeader('content-range', `bytes ${from}-${end - 1}/${body.length}`)
      response.writeHead(206).end(body.subarray(Number(from), end))
      return true
    }
    const digest = async () => {
      await loadedFrom(page, options)
      return (await page.evaluate(() => (globalThis as unknown as PageGlobals).web.keptModels())).models[0]!.sha256
    }
    const first = await digest()
    expect(await digest()).toBe(first)
    expect(whole).toBe(1)
    body = changed
    etag = '"second"'
    const second = await digest()
    expect(second).not.toBe(first)
    expect(whole).toBe(2)
    // Nothing tells whether it is the same one.
    etag = undefined
    expect(await digest()).toBe(second)
    expect(whole).toBe(3)
    await context.close()
  })

  it('reads from a hub, and runs without being kept where the storage is full', async () => {
    const { page, context } = await openPage(pages.browser, pages.isolated)
    const session = await context.newCDPSession(page)
    await session.send('Storage.overrideQuotaForOrigin', { origin: pages.isolated.url, quotaSize: 6e5 })
    const tree = filesBelow(small).map((path) => ({ type: 'file', path, size: statSync(join(small, path)).size, oid: path }))
    pages.isolated.intercept = ({ url }, response) => {
      if (url !== '/hub/api/models/org/small/tree/main?recursive=true') return false
      response.setHeader('content-type', 'application/json')
      response.end(JSON.stringify(tree))
      return true
    }
    const endpoint = `${pages.isolated.url}/hub`
    const info = await loadedFrom(page, { source: { hub: 'org/small', endpoint }, device: 'wasm', threads: 1 })
    pages.isolated.intercept = undefined
    expect(info).toMatchObject({ name: 'org/small', availableP: [1, 2, 4, 8] })
    expect(info.kept).toBeUndefined()
    expect(info.notes).toEqual([expect.stringMatching(/^The model is not kept: the browser’s storage is full/)])
    expect(await inPage(page, 8)).toEqual(await expected(8))
    await context.close()
  })

  it('takes dropped files, without a worker too, and refuses GGUF files that are none', async () => {
    const { page, context } = await openPage(pages.browser, pages.isolated)
    const info = await page.evaluate(async () => {
      const globals = globalThis as unknown as PageGlobals
      const names = [
        'config.json',
        'model.safetensors',
        'tokenizer.json',
        'streams/p2/config.json',
        'streams/p2/model.safetensors',
      ]
      const files = await Promise.all(
        names.map(async (name) => ({ path: `dropped/small/${name}`, file: await (await fetch(`/models/small/${name}`)).blob() })),
      )
      const here = { worker: 'here', device: 'wasm', threads: 1, runtimeFiles: '/ort/' } as const
      globals.model = await globals.web.loadInBrowser({ source: { files }, ...here })
      return globals.model.info
    })
    expect(info).toMatchObject({ availableP: [1, 2], notes: [] })
    expect(info.kept).toBeUndefined()
    expect(await inPage(page, 2)).toEqual(await expected(2))

    const gguf = await page.evaluate(async () => {
      const { web } = globalThis as unknown as PageGlobals
      const file = new File([await (await fetch('/fixtures/gguf/llama-linear.gguf')).blob()], 'llama-linear.gguf')
      const refused = await web
        .loadInBrowser({ source: { gguf: new File(['no model'], 'x.gguf') }, runtimeFiles: '/ort/' })
        .catch((error) => error.message)
      const made = await web
        .loadInBrowser({ source: { gguf: file }, device: 'wasm', runtimeFiles: '/ort/' })
        .catch((error) => error.message)
      return { refused, made: typeof made === 'string' ? made : made.info }
    })
    expect(gguf.refused).toMatch(/^x\.gguf: is no GGUF file: it begins with "no m"/)
    expect(gguf.made).toMatch(/tokenizer/)
    await context.close()
  })

  it('says what is no model, and what is too large, before weights are read', async () => {
    const { page, context } = await openPage(pages.browser, pages.isolated)
    const load = (url: string) => loadedFrom(page, { source: { url }, device: 'wasm' })
    await expect(load('/models/nothing/')).rejects.toThrow(/config\.json is missing, so this is no model’s folder/)
    const worker = await page.evaluate(async () => {
      const { web } = globalThis as unknown as PageGlobals
      const worker = () => new Worker('/nothing.js', { type: 'module' })
      return await web.loadInBrowser({ source: { url: '/models/small/' }, worker }).catch((error) => error.message)
    })
    expect(worker).toMatch(/^the worker does not run .*Content-Security-Policy/)

    const config = JSON.parse(readDocument('packages/parscale/models/small/config.json'))
    const large = { ...config, hidden_size: 4096, intermediate_size: 14336, num_hidden_layers: 1, vocab_size: 400_000 }
    const { header, size } = hugeWeights(large)
    pages.isolated.intercept = ({ url, headers }, response) => {
      if (url === '/models/large/config.json') {
        response.setHeader('content-type', 'application/json')
        response.end(JSON.stringify(large))
        return true
      }
      if (url !== '/models/large/model.safetensors') return false
      const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(headers.range ?? '') ?? []
      expect(Number(to)).toBeLessThan(2 ** 20)
      response.setHeader('content-range', `bytes ${from}-${to}/${size}`)
      response.writeHead(206)
      response.end(Buffer.concat([header, Buffer.alloc(2 ** 20)]).subarray(Number(from), Number(to) + 1))
      return true
    }
    await expect(load('/models/large/')).rejects.toThrow(
      /is too large for this page: it needs \d+\.\d GB .*nothing was read\. Take a smaller model/,
    )
    pages.isolated.intercept = undefined
    await context.close()
  })
})

const filesBelow = (folder: string): string[] =>
  readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((path) => statSync(join(folder, path)).isFile())

/** The header of a model that is larger than a page may be, without its bytes. */
function hugeWeights(config: Readonly<Record<string, number>>): { header: Buffer; size: number } {
  const [H, V, I] = [config.hidden_size!, config.vocab_size!, config.intermediate_size!]
  const [Q, K] = [config.num_attention_heads! * config.head_dim!, config.num_key_value_heads! * config.head_dim!]
  const shapes: Record<string, number[]> = {
    'model.embed_tokens.weight': [V, H],
    'model.norm.weight': [H],
    'lm_head.weight': [V, H],
  }
  const layer = {
    ...{ 'self_attn.q_proj': [Q, H], 'self_attn.k_proj': [K, H], 'self_attn.v_proj': [K, H], 'self_attn.o_proj': [H, Q] },
    ...{
      'mlp.gate_proj': [I, H],
      'mlp.up_proj': [I, H],
      'mlp.down_proj': [H, I],
      input_layernorm: [H],
      post_attention_layernorm: [H],
    },
  }
  for (const [name, shape] of Object.entries(layer)) shapes[`model.layers.0.${name}.weight`] = shape
  const entries: Record<string, unknown> = {}
  let at = 0
  for (const [name, shape] of Object.entries(shapes)) {
    const bytes = 4 * shape.reduce((product, size) => product * size, 1)
    entries[name] = { dtype: 'F32', shape, data_offsets: [at, at + bytes] }
    at += bytes
  }
  const json = Buffer.from(JSON.stringify(entries))
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(json.length))
  return { header: Buffer.concat([length, json]), size: 8 + json.length + at }
}
