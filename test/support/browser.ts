/** A real Chromium over a small server, for what runs in pages. Debian's package `chromium`, or the one that CHROMIUM names. */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { extname, join, normalize } from 'node:path'
import process from 'node:process'
import { type BuildOptions, build } from 'esbuild'
import { type Browser, type BrowserContext, chromium, type Page } from 'playwright-core'
import { root } from './markdown.ts'

export const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium'

/** Why there is no browser to test with; undefined where there is one. */
export const noBrowser: string | undefined = existsSync(executablePath)
  ? undefined
  : `${executablePath} is not there; install chromium or name one in CHROMIUM`

// SwiftShader computes WebGPU on the CPU.
const args = ['--no-sandbox', '--enable-unsafe-webgpu', '--use-webgpu-adapter=swiftshader', '--enable-features=Vulkan']

export const launch = (): Promise<Browser> => chromium.launch({ executablePath, args })

/** With a profile in a folder, which keeps what a visitor's browser keeps: a private one has no place for compiled code. */
export const launchProfile = (folder: string): Promise<BrowserContext> =>
  chromium.launchPersistentContext(folder, { executablePath, args })

export interface ProcessUse {
  /** Proportional set size in bytes; where the system does not say it (it is Linux that does), 0. */
  readonly memoryBytes: number
  /** Processor time since they began. */
  readonly seconds: number
}

/** What all pages and the GPU process take together. */
export async function processUse(browser: Browser): Promise<ProcessUse> {
  const session = await browser.newBrowserCDPSession()
  const { processInfo } = await session.send('SystemInfo.getProcessInfo')
  await session.detach()
  let [memoryBytes, seconds] = [0, 0]
  for (const { type, id, cpuTime } of processInfo) {
    if (type !== 'renderer' && type !== 'GPU') continue
    seconds += cpuTime
    const rollup = `/proc/${id}/smaps_rollup`
    if (existsSync(rollup)) memoryBytes += 1024 * Number(/^Pss: +(\d+) kB$/m.exec(readFileSync(rollup, 'utf8'))?.[1] ?? 0)
  }
  return { memoryBytes, seconds }
}

const types: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.mjs': 'text/javascript; charset=utf-8',
  '.json': 'application/json',
  '.wasm': 'application/wasm',
}

/**
 * Builds a page and its worker, as bundlers for browsers do. Returns the folder, which the caller removes.
 *
 * @param spy a program around the worker, built as spy.js
 */
export async function bundlePage(contents: string, spy?: string): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'parscale-page-'))
  await build({
    ...common,
    stdin: { contents, resolveDir: root, sourcefile: 'page.ts', loader: 'ts' },
    outfile: join(folder, 'page.js'),
  })
  const entries = join(folder, 'entries')
  mkdirSync(entries)
  writeFileSync(join(entries, 'worker.ts'), `import '@parscale/core/web/worker'`)
  if (spy !== undefined) writeFileSync(join(entries, 'spy.ts'), spy)
  await build({
    ...common,
    entryPoints: ['worker', ...(spy === undefined ? [] : ['spy'])].map((name) => join(entries, `${name}.ts`)),
    nodePaths: [join(root, 'node_modules')],
    outdir: folder,
    splitting: true,
  })
  return folder
}

const common: BuildOptions = {
  bundle: true,
  format: 'esm',
  platform: 'browser',
  conditions: ['source'],
  logLevel: 'error',
  minify: true,
}

export interface Site {
  readonly url: string
  /** Paths that were asked for, with their Range. */
  readonly requests: string[]
  /** What `intercept` threw; the requests were answered with 500. */
  readonly failures: unknown[]
  /** Answers requests before the files do, when it returns true. */
  intercept: ((request: IncomingMessage, response: ServerResponse) => boolean) | undefined
  /** From now on nobody answers. */
  cut(): Promise<void>
  close(): Promise<void>
}

/**
 * Serves `/` as an empty page, the bundle's files, `/ort/` and folders by their prefix. With `isolated`, COOP and COEP; `policy` is
 * the Content-Security-Policy in place of a strict one. With `cached`, browsers keep the runtime, as they keep the studio's.
 */
export async function serveSite(
  folder: string,
  mounts: Readonly<Record<string, string>>,
  options: { readonly isolated: boolean; readonly policy?: string; readonly cached?: boolean },
): Promise<Site> {
  const runtimes = { '/ort/': join(root, 'node_modules/onnxruntime-web/dist'), '/wasm/': join(root, 'packages/core/wasm') }
  const all = { ...runtimes, ...mounts, '/': folder }
  const requests: string[] = []
  const failures: unknown[] = []
  const server = createServer((request, response) => {
    const path = decodeURIComponent(new URL(request.url!, 'http://x').pathname)
    requests.push(request.headers.range ? `${path} ${request.headers.range}` : path)
    if (options.isolated) {
      response.setHeader('cross-origin-opener-policy', 'same-origin')
      response.setHeader('cross-origin-embedder-policy', 'require-corp')
    }
    response.setHeader('content-security-policy', options.policy ?? csp)
    try {
      if (site.intercept?.(request, response)) return
    } catch (error) {
      // Whoever expected something else of the request; without an answer the page would wait.
      failures.push(error)
      response.writeHead(500).end(String(error))
      return
    }
    if (path === '/') {
      response.setHeader('content-type', types['.html']!)
      response.end(
        '<!doctype html><title>page</title><link rel="icon" href="data:,"><script type="module" src="/page.js"></script>',
      )
      return
    }
    if (options.cached && path.startsWith('/ort/')) response.setHeader('cache-control', 'public, max-age=31536000, immutable')
    const [prefix, below] = Object.entries(all).find(([prefix]) => path.startsWith(prefix))!
    serveFile(join(below, normalize(`/${path.slice(prefix.length)}`)), request, response)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const close = () => closed(server)
  const site: Site = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    failures,
    intercept: undefined,
    cut: close,
    close,
  }
  return site
}

const csp = "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; connect-src 'self'; img-src data:"

function serveFile(file: string, { headers, method }: IncomingMessage, response: ServerResponse): void {
  if (!existsSync(file) || !statSync(file).isFile()) {
    response.writeHead(404).end()
    return
  }
  const bytes = readFileSync(file)
  response.setHeader('content-type', types[extname(file)] ?? 'application/octet-stream')
  response.setHeader('accept-ranges', 'bytes')
  response.setHeader('etag', `"${bytes.length}-${statSync(file).mtimeMs}"`)
  const [, from, to] = /^bytes=(\d+)-(\d*)$/.exec(headers.range ?? '') ?? []
  if (from === undefined) {
    response.setHeader('content-length', bytes.length)
    response.end(method === 'HEAD' ? undefined : bytes)
    return
  }
  const end = Math.min(to ? Number(to) + 1 : bytes.length, bytes.length)
  response.setHeader('content-range', `bytes ${from}-${end - 1}/${bytes.length}`)
  response.writeHead(206).end(bytes.subarray(Number(from), end))
}

function closed(server: Server): Promise<void> {
  server.closeAllConnections()
  return new Promise((resolve) => server.close(() => resolve()))
}

/** A page of a site in a profile of its own. What it logs as an error is in `errors`. */
export async function openPage(browser: Browser, site: Site): Promise<{ page: Page; context: BrowserContext; errors: string[] }> {
  const context = await browser.newContext()
  const page = await context.newPage()
  const errors: string[] = []
  page.on('pageerror', (error) => errors.push(error.message))
  await page.goto(site.url)
  await page.waitForFunction(() => 'ready' in globalThis)
  return { page, context, errors }
}

export const removeFolder = (folder: string): void => rmSync(folder, { recursive: true, force: true })
