/** A page that judges programs, for tests. */
import { join } from 'node:path'
import type { Problem } from '@parscale/core/internal/evaluation'
import type * as web from '@parscale/core/web'
import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll } from 'vitest'
import { bundlePage, launch, openPage, removeFolder, type Site, serveSite } from './browser.ts'
import { root } from './markdown.ts'

const program = `
  import * as web from '@parscale/core/web'
  Object.assign(globalThis, { web, ready: true })
`
const policy = (script: string) =>
  `default-src 'self' data: blob:; script-src 'self' blob: 'wasm-unsafe-eval' ${script}; worker-src 'self' blob:; connect-src 'self' blob:`

export interface JudgePages {
  readonly browser: Browser
  readonly folder: string
  /** A page whose content policy allows the frame, and one whose does not. */
  readonly page: Page
  readonly strict: Page
  /** A page with a policy of its own. */
  open(script: string): Promise<Page>
}

/** Filled before the first test of the block that asks for it. */
export function judgePages(): JudgePages {
  const pages = {} as { -readonly [Key in keyof JudgePages]: JudgePages[Key] }
  const sites: Site[] = []
  beforeAll(async () => {
    pages.folder = await bundlePage(program)
    pages.browser = await launch()
    pages.open = async (script) => {
      const site = await serveSite(
        pages.folder,
        { '/pyodide/': join(root, 'node_modules/pyodide') },
        { isolated: false, policy: policy(script) },
      )
      sites.push(site)
      return (await openPage(pages.browser, site)).page
    }
    pages.page = await pages.open("'unsafe-inline'")
    pages.strict = await pages.open('')
  }, 120_000)
  afterAll(async () => {
    await pages.browser?.close()
    await Promise.all(sites.map((site) => site.close()))
    removeFolder(pages.folder)
  })
  return pages
}

/** Verdicts of samples, in their order; errors come with their message. @param options of judgeInBrowser, beside those that a page needs */
export async function judgedInPage(
  page: Page,
  problems: readonly (Problem | object)[],
  samples: readonly { readonly task_id: string; readonly completion?: string; readonly solution?: string }[],
  options: Partial<web.BrowserJudgeOptions> = {},
): Promise<web.Judgement[]> {
  return await page.evaluate(
    async ([problems, samples, options]) => {
      const { web: api } = globalThis as unknown as { web: typeof web }
      const map = new Map(
        problems.map((problem, i) => {
          const read = 'taskId' in problem ? (problem as Problem) : api.parseProblem(JSON.stringify(problem), 'problems', i + 1)
          return [read.taskId, read]
        }),
      )
      const list = samples.map((sample, i) => api.parseSample(JSON.stringify(sample), 'samples', i + 1))
      const found: web.Judgement[] = []
      for await (const { judgement } of api.judgeInBrowser(map, list, { allowCode: true, runtimeFiles: '/pyodide/', ...options }))
        found.push(judgement)
      return found
    },
    [problems, samples, options] as const,
  )
}
