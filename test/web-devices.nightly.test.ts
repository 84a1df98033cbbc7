/** Models in pages, at length: WebGPU, GPUs that compute wrongly or are lost, memory over many texts. */
import { join } from 'node:path'
import { loadTextModel } from 'parscale'
import { describe, expect, it } from 'vitest'
import { noBrowser, openPage, processUse } from './support/browser.ts'
import { root } from './support/markdown.ts'
import { loadedFrom, type PageGlobals, spyProgram, webPages } from './support/web-page.ts'

const mounts = { '/models/small/': join(root, 'packages/parscale/models/small'), '/smollm2/': join(root, '.cache/smollm2') }
const gguf = join(root, '.cache/smollm2/SmolLM2-135M-Instruct.Q4_1.gguf')

describe.skipIf(noBrowser)('in Chromium', () => {
  const pages = webPages(mounts, spyProgram)

  const source = { url: '/models/small/' }

  it('runs on WebGPU as in Node', { timeout: 120_000 }, async () => {
    const { page, context } = await openPage(pages.browser, pages.isolated)
    const info = await loadedFrom(page, { source, device: 'webgpu' })
    expect(info).toMatchObject({ backend: 'webgpu', build: 'jspi', selfTest: 'known tokens', notes: [] })
    const few = { p: 8, maxTokens: 4, temperature: 0 }
    const result = await page.evaluate(
      async (few) => (await (globalThis as unknown as PageGlobals).model.generate('The whale', few)).text,
      few,
    )
    expect(result).toBe((await pages.node.generate('The whale', few)).text)
    await context.close()
  })

  // Keys and values never leave the GPU: rows come behind others, move, are copied and go, and their room grows.
  it('runs texts on WebGPU that begin and end while others run', { timeout: 600_000 }, async () => {
    const { page, context } = await openPage(pages.browser, pages.isolated)
    expect(await loadedFrom(page, { source, device: 'webgpu' })).toMatchObject({ backend: 'webgpu', notes: [] })
    const texts = [
      { prompt: 'The whale', options: { p: 8, maxTokens: 9, temperature: 0 } },
      { prompt: 'My fellow citizens, '.repeat(12), options: { p: 1, maxTokens: 5, temperature: 0 } },
      { prompt: 'In the year of', options: { p: 2, maxTokens: 12, temperature: 0 } },
      { prompt: 'No man '.repeat(20), options: { p: 4, maxTokens: 2, temperature: 0 } },
    ]
    const found = await page.evaluate(async (texts) => {
      const { model } = globalThis as unknown as PageGlobals
      // Each begins when the one before has its first token.
      const running: Promise<string>[] = []
      for (const { prompt, options } of texts) {
        const stream = model.stream(prompt, options)
        const first = await stream.next()
        running.push(
          (async () => {
            let { text } = first.value
            for await (const chunk of stream) text += chunk.text
            return text
          })(),
        )
      }
      const all = await Promise.all(running)
      const { cacheBytes } = await model.memory()
      const response = await model.fetch('/v1/completions', {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ model: model.info.name, prompt: 'At last', n: 3, max_tokens: 3, temperature: 0 }),
      })
      const { choices } = (await response.json()) as { choices: { text: string }[] }
      return { all, cacheBytes, choices: choices.map(({ text }) => text) }
    }, texts)
    const expected: string[] = []
    for (const { prompt, options } of texts) expected.push((await pages.node.generate(prompt, options)).text)
    const { text } = await pages.node.generate('At last', { maxTokens: 3, temperature: 0 })
    expect(found).toEqual({ all: expected, cacheBytes: 0, choices: [text, text, text] })
    await context.close()
  })

  it('unpacks a GGUF file, and talks', async () => {
    const { page, context } = await openPage(pages.browser, pages.isolated)
    const info = await loadedFrom(page, {
      source: { url: '/smollm2/SmolLM2-135M-Instruct.Q4_1.gguf' },
      device: 'wasm',
      threads: 2,
    })
    expect(info).toMatchObject({ weights: '4 bits', selfTest: 'finite logits', hasChatTemplate: true, availableP: [1] })
    // A page widens what Node multiplies in 8 bits: asked for a capital, where two tokens are nearly as probable, they differ.
    const asked = [{ role: 'user', content: 'How many days are in a week?' }]
    const answer = await page.evaluate(async (asked) => {
      const { model } = globalThis as unknown as PageGlobals
      return (await model.generate(asked, { maxTokens: 24, temperature: 0 })).text
    }, asked)
    const node = await loadTextModel(gguf, { engine: 'onnx', threads: 1 })
    let expected = ''
    for await (const chunk of node.chat().send(asked[0]!.content, { maxTokens: 24, temperature: 0 })) expected += chunk.text
    await node.dispose()
    expect(answer).toBe(expected)
    expect(answer).toMatch(/7 days/)
    await context.close()
  })

  it('goes on with WASM where the GPU is lost in the middle of a text', async () => {
    const { page, context } = await openPage(pages.browser, pages.isolated)
    const result = await page.evaluate(async (source) => {
      const { web } = globalThis as unknown as PageGlobals
      const told: string[] = []
      const model = await web.loadInBrowser({
        ...{ source, device: 'webgpu', runtimeFiles: '/ort/' },
        worker: () => new Worker('/spy.js', { type: 'module' }),
        onInfo: ({ backend }) => told.push(backend),
      })
      const before = model.info.backend
      const channel = new BroadcastChannel('spy')
      let text = ''
      let count = 0
      for await (const chunk of model.stream('My fellow citizens', { p: 8, maxTokens: 24, temperature: 0 })) {
        text += chunk.text
        if (++count === 3) channel.postMessage('destroy')
      }
      const again = await model.generate('My fellow citizens', { p: 8, maxTokens: 24, temperature: 0 })
      return { before, text, again: again.text, told, info: model.info }
    }, source)
    const { text: expected } = await pages.node.generate('My fellow citizens', { p: 8, maxTokens: 24, temperature: 0 })
    expect(result).toMatchObject({ before: 'webgpu', text: expected, again: expected, told: ['wasm'] })
    expect(result.info).toMatchObject({ backend: 'wasm', why: expect.stringMatching(/^WASM runs, as the GPU was lost/) })
    expect(result.info.notes).toEqual([expect.stringMatching(/^The GPU was lost \(.*\); WASM took over\.$/)])
    await context.close()
  })

  it('takes WASM where a GPU computes wrongly', async () => {
    const { page, context } = await openPage(pages.browser, pages.isolated)
    const result = await page.evaluate(async (source) => {
      const globals = globalThis as unknown as PageGlobals
      globals.model = await globals.web.loadInBrowser({
        ...{ source, device: 'webgpu', runtimeFiles: '/ort/' },
        worker: () => new Worker('/spy.js#wrong', { type: 'module' }),
      })
      return globals.model.info
    }, source)
    expect(result).toMatchObject({ backend: 'wasm', selfTest: 'known tokens' })
    expect(result.notes).toEqual([expect.stringMatching(/^WebGPU does not run this model here: the self-test failed, /)])
    await context.close()
  })

  it.each([
    ['wasm', { p: 8, maxTokens: 32 }],
    // Computed on the CPU: fewer tokens.
    ['webgpu', { p: 1, maxTokens: 3 }],
  ] as const)('keeps no memory over 100 texts on %s', async (device, options) => {
    const { page, context } = await openPage(pages.browser, pages.isolated)
    expect(await loadedFrom(page, { source, device, threads: 1 })).toMatchObject({ backend: device })
    const generate = (count: number) =>
      page.evaluate(
        async ([count, options]) => {
          const { model } = globalThis as unknown as PageGlobals
          for (let i = 0; i < count; i++) await model.generate('The whale', { ...options, seed: i, streamChoices: true })
          return (await model.memory()).cacheBytes
        },
        [count, options] as const,
      )
    /** After a collection of garbage in page and worker, which the first of these waits for. */
    const measure = async () => {
      const bytes = await page.evaluate(async () => {
        const { measureUserAgentSpecificMemory } = performance as unknown as {
          measureUserAgentSpecificMemory(): Promise<{ bytes: number }>
        }
        return (await measureUserAgentSpecificMemory.call(performance)).bytes
      })
      return { bytes, processes: (await processUse(pages.browser)).memoryBytes }
    }
    await generate(device === 'wasm' ? 30 : 10)
    const before = await measure()
    expect(await generate(100)).toBe(0)
    const after = await measure()
    const mb = (bytes: number) => `${(bytes / 1e6).toFixed(1)} MB`
    console.log(
      `${device}: page and worker ${mb(before.bytes)}, behind 100 texts ${mb(after.bytes)}; processes of page and GPU ${mb(before.processes)}, then ${mb(after.processes)}`,
    )
    expect(after.bytes - before.bytes).toBeLessThan(5e6)
    expect(before.processes).toBeGreaterThan(0)
    expect(after.processes - before.processes).toBeLessThan(20e6)
    await context.close()
  })
})
