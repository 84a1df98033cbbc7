/** The studio in a real Chromium, with the real command: what tests of its panels share. */
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { extname, join } from 'node:path'
import process from 'node:process'
import axe from 'axe-core'
import type { Browser, Page } from 'playwright-core'
import { afterAll, afterEach, beforeAll, beforeEach, expect } from 'vitest'
import { cliPath } from '../../packages/parscale/src/package-files.ts'
import { launch, noBrowser } from './browser.ts'

export interface Studio {
  /** A new one for each test, of 1280 x 860 pixels. */
  readonly page: Page
  readonly browser: Browser
  /** The server's; a test may set another, and is given the server's again afterwards. */
  url: string
  /** Of the tests alone: `runs` and `cache` are below it. */
  readonly folder: string
  /** Requests to other hosts, errors and violations of the content policy: none are expected at a test's end. */
  readonly outside: string[]
  readonly faults: string[]
  open(panel: string): Promise<void>
  /** What axe finds wrong with the page as it is now. */
  violations(): Promise<string[]>
  /** The text's canvas. */
  tokens(): ReturnType<Page['getByRole']>
  /** Asks for so many tokens, with the settings as they are. */
  write(count: number): Promise<void>
  written(count: number): Promise<void>
  /** A column of the table of tokens: 0 is the token, 1 its probability, then the streams. */
  column(index: number): Promise<string[]>
  kill(signal: NodeJS.Signals): Promise<void>
  /** @param port 0: any */
  start(port?: number): Promise<void>
}

/** Starts server and browser before the tests of a file, and ends them afterwards. */
export function studio(): Studio {
  const folder = mkdtempSync(join(tmpdir(), 'parscale-studio-'))
  let browser: Browser
  let page: Page
  let server: ChildProcess
  let served = ''
  const outside: string[] = []
  const faults: string[] = []

  const it: Studio = {
    folder,
    outside,
    faults,
    url: '',
    get page() {
      return page
    },
    get browser() {
      return browser
    },
    async start(port = 0) {
      const args = ['studio', '--port', String(port), '--runs', join(folder, 'runs'), '--threads', '1']
      server = spawn(process.execPath, [cliPath, ...args], {
        env: { ...process.env, PARSCALE_CACHE: join(folder, 'cache') },
        stdio: ['ignore', 'pipe', 'pipe'],
      })
      let said = ''
      served = await new Promise<string>((resolve, reject) => {
        const hear = (part: Buffer) => {
          said += part
          const found = /The studio: (\S+)/.exec(said)
          if (found) resolve(found[1]!)
        }
        server.stdout!.on('data', hear)
        server.stderr!.on('data', hear)
        server.on('close', () => reject(new Error(said)))
      })
      it.url = served
    },
    async kill(signal) {
      const ended = new Promise((resolve) => server.once('close', resolve))
      server.kill(signal)
      await ended
    },
    async open(panel) {
      await page.goto(`${it.url}/#/${panel}`)
      // The page's HTML has a head for each panel, and a panel that is being fetched its own: the program and the panel are there.
      for (const early of ['.first', '.panel[aria-busy]']) await page.locator(early).first().waitFor({ state: 'detached' })
      await page.locator('h1').waitFor()
    },
    async violations() {
      await page.evaluate(axe.source)
      const result = await page.evaluate(() => (globalThis as unknown as { axe: typeof axe }).axe.run())
      return result.violations.map(
        ({ id, nodes }) =>
          `${id}: ${nodes.map(({ html, failureSummary }) => `${html.slice(0, 160)} ${failureSummary ?? ''}`).join(' | ')}`,
      )
    },
    tokens: () => page.getByRole('group', { name: /^The text:/ }),
    async write(count) {
      await page.getByLabel('Tokens', { exact: true }).fill(String(count))
      await page.getByRole('button', { name: /^Write( again)?$/ }).click()
    },
    written: (count) => page.getByText(new RegExp(`^${count} tokens, .* ms each\\.$`)).waitFor(),
    async column(index) {
      const table = page.getByRole('button', { name: 'As a table' })
      if ((await table.count()) > 0) await table.click()
      return await page
        .locator('.panel table tbody tr')
        .evaluateAll(
          (rows, i) =>
            rows
              .filter((row) => row.children.length >= 4 && /^\d+%$/.test(row.children[1]!.textContent!))
              .map((row) => row.children[i]!.textContent!),
          index,
        )
    },
  }

  beforeAll(async () => {
    await it.start()
    if (!noBrowser) browser = await launch()
  })
  afterAll(async () => {
    await browser?.close()
    await it.kill('SIGTERM')
    rmSync(folder, { recursive: true, force: true })
  })
  beforeEach(async () => {
    if (noBrowser) return
    it.url = served
    page = await browser.newPage({ viewport: { width: 1280, height: 860 } })
    page.setDefaultTimeout(90_000)
    page.on('request', (request) => {
      const at = request.url()
      if (!at.startsWith(it.url) && !/^(?:data|blob):/.test(at)) outside.push(at)
    })
    page.on('pageerror', (error) => faults.push(String(error)))
    page.on('console', (message) => {
      if (/Content.Security.Policy/i.test(message.text())) faults.push(message.text())
    })
  })
  afterEach(async () => {
    if (noBrowser) return
    await page.close()
    expect(outside.splice(0)).toEqual([])
    expect(faults.splice(0)).toEqual([])
  })
  return it
}

const types: Readonly<Record<string, string>> = {
  '.html': 'text/html',
  '.js': 'text/javascript',
  '.css': 'text/css',
  '.svg': 'image/svg+xml',
  '.woff2': 'font/woff2',
  '.wasm': 'application/wasm',
}

/** A web host that knows nothing of parscale: hands out a folder below /sub/, without ranges and without headers of its own. */
export async function hostFolder(folder: string): Promise<{ readonly url: string; readonly close: () => void }> {
  const host = createServer((request, response) => {
    const path = decodeURIComponent(new URL(request.url!, 'http://x').pathname).replace(/^\/sub\//, '')
    const file = join(folder, path === '' ? 'index.html' : path)
    if (!existsSync(file)) return void response.writeHead(404).end()
    response.writeHead(200, { 'content-type': types[extname(file)] ?? 'application/octet-stream' }).end(readFileSync(file))
  })
  await new Promise<void>((resolve) => host.listen(0, '127.0.0.1', resolve))
  return { url: `http://127.0.0.1:${(host.address() as AddressInfo).port}/sub`, close: () => void host.close() }
}
