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
const greedy = { maxTokens: 12, temperature: 0 }

describe.skipIf(noBrowser)('in Chromium', () => {
  const pages = webPages(mounts)

  const source = { url: '/models/small/' }
  /** Many at once, which share steps: a GPU that is computed takes as long for one row as for many. */
  const inPage = (page: Page, p: number) =>
    page.evaluate(
      async ([prompts, options]) => {
        const { model } = globalThis as unknown as PageGlobals
        const results = await Promise.all(prompts.map((prompt) => model.generate(prompt, options)))
        return results.map(({ text }) => text)
      },
      [prompts, { ...greedy, p }] as const,
    )

  it('has 200 different prompts', () => expect(new Set(prompts).size).toBe(200))

  it.each([
    ['wasm', 1],
    ['wasm', 2],
    ['webgpu', 1],
  ] as const)('200 prompts on %s, threads: %i, give what Node gives', async (device, threads) => {
    const { page, context } = await openPage(pages.browser, pages.isolated)
    const info = await loadedFrom(page, { source, device, threads })
    expect(info).toMatchObject({ backend: device, threads, notes: [] })
    for (const p of [1, 8]) {
      const expected = (await pages.node.generateBatch(prompts, { ...greedy, p })).map((result) => result.text)
      const began = Date.now()
      expect(await inPage(page, p)).toEqual(expected)
      console.log(
        `${device}, ${threads} threads, P = ${p}: ${prompts.length} prompts in ${((Date.now() - began) / 1000).toFixed(1)} s`,
      )
    }
    await context.close()
  })
})
