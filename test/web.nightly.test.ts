/** Models in pages: 200 prompts on each backend give what Node gives. Slow where Chromium computes WebGPU on the CPU. */
import { join } from 'node:path'
import type { Page } from 'playwright-core'
import { describe, expect, it } from 'vitest'
import { noBrowser, openPage } from './support/browser.ts'
import { root } from './support/markdown.ts'
import { loadedFrom, type PageGlobals, webPages } from './support/web-page.ts'

const mounts = { '/models/small/': join(root, 'packages/parscale/models/small') }

const beginnings = [
  ...[
    'The President of',
    'In the year of',
    'We have',
    'The whale and',
    'My fellow citizens,',
    'It is',
    'The people of',
    'There was',
  ],
  ...['Upon the', 'By the', 'I have seen', 'The Congress and', 'No man', 'They said that', 'The captain of', 'At last'],
  ...['The treaty with', 'When the', 'All the', 'Our'],
]
const endings = [
  'the United States',
  'the ship',
  'peace',
  'the old man',
  'the sea',
  'this nation',
  'war',
  'great men',
  'the law',
  'his boat',
]
const prompts = beginnings.flatMap((beginning) => endings.map((ending) => `${beginning} ${ending}`))
/** A GPU that is computed takes seconds for a step; on WASM all of them take a minute or two. */
const cases = [
  { device: 'wasm', threads: 1, p: 1, maxTokens: 12 },
  { device: 'wasm', threads: 1, p: 8, maxTokens: 12 },
  { device: 'wasm', threads: 2, p: 8, maxTokens: 12 },
  { device: 'webgpu', threads: 1, p: 1, maxTokens: 8 },
  { device: 'webgpu', threads: 1, p: 8, maxTokens: 4 },
] as const

/** Kernels sum in other orders: of two tokens nearer than this in log-probability either may come first. */
const nearTie = 1e-3

describe.skipIf(noBrowser)('in Chromium', () => {
  const pages = webPages(mounts)

  const source = { url: '/models/small/' }
  /** Many at once, which share steps: a GPU that is computed takes as long for one row as for many. */
  const inPage = (page: Page, options: object) =>
    page.evaluate(
      async ([prompts, options]) => {
        const { model } = globalThis as unknown as PageGlobals
        const results = await Promise.all(prompts.map((prompt) => model.generate(prompt, options)))
        return results.map(({ tokens }) => tokens.map(({ id }) => id))
      },
      [prompts, options] as const,
    )

  it('has 200 different prompts', () => expect(new Set(prompts).size).toBe(200))

  it.each(cases)('200 prompts on $device, threads: $threads, P = $p, give what Node gives', async (one) => {
    const { device, threads, p, maxTokens } = one
    const { page, context } = await openPage(pages.browser, pages.isolated)
    const info = await loadedFrom(page, { source, device, threads })
    expect(info).toMatchObject({ backend: device, threads, notes: [] })
    const expected = await pages.node.generateBatch(prompts, { p, maxTokens, temperature: 0, topLogprobs: 2 })
    const began = Date.now()
    const found = await inPage(page, { p, maxTokens, temperature: 0 })
    console.log(`${device}, ${threads} threads, P = ${p}: 200 prompts in ${((Date.now() - began) / 1000).toFixed(1)} s`)
    let ties = 0
    for (const [i, { tokens }] of expected.entries()) {
      const ids = tokens.map(({ id }) => id)
      if (ids.join() === found[i]!.join()) continue
      const at = ids.findIndex((id, t) => id !== found[i]![t])
      const [first, second] = tokens[at]?.topLogprobs ?? []
      const near = first && second && second.id === found[i]![at] && first.logProbability - second.logProbability < nearTie
      expect(near ? ids : found[i], prompts[i]).toEqual(ids)
      ties++
    }
    expect(ties).toBeLessThan(5)
    await context.close()
  })
})
