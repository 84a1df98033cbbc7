/** The page's files as the build left them, with headers that let it run what is its own and nothing else. */
import { readFile } from 'node:fs/promises'
import { extname, join } from 'node:path'
import { gunzipSync, gzipSync } from 'node:zlib'
import { usageError } from '@parscale/core/internal'
import { studioFolder } from '../package-files.ts'

const types: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.mjs': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.json': 'application/json',
  '.svg': 'image/svg+xml',
  '.woff2': 'font/woff2',
  '.wasm': 'application/wasm',
}

/**
 * Nothing from elsewhere: no script, no picture, no request. WebAssembly is the runtime's; styles that scripts set are no inline
 * styles. The same stands in the exported page, as a tag.
 */
export const contentPolicy = [
  "default-src 'none'",
  "script-src 'self' 'wasm-unsafe-eval'",
  "style-src 'self'",
  "img-src 'self' data: blob:",
  "font-src 'self'",
  "connect-src 'self'",
  "worker-src 'self'",
  "manifest-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
].join('; ')

const headers = {
  'content-security-policy': `${contentPolicy}; frame-ancestors 'none'`,
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  // Isolation, which lets WebAssembly use threads.
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-embedder-policy': 'require-corp',
  'cross-origin-resource-policy': 'same-origin',
}

/** Names that the build makes are of their content, and stay for good. */
const isHashed = (path: string) => path.startsWith('assets/')

/** Answers what is a file of the page; undefined for everything else. @throws usage error where the page was not built */
export async function page(request: Request): Promise<Response | undefined> {
  const { pathname } = new URL(request.url)
  if (request.method !== 'GET' && request.method !== 'HEAD') return undefined
  const path = pathname === '/' ? 'index.html' : pathname.slice(1)
  const type = types[extname(path)]
  // Names of the build have no other characters, and no way up.
  if (type === undefined || !/^(?:[\w-]+\/)?[\w.-]+$/.test(path) || path.includes('..') || path.startsWith('studio/'))
    return undefined
  const found = await fileOf(path, request)
  if (found === undefined) return path === 'index.html' ? notBuilt() : undefined
  const { bytes, coding } = found
  return new Response(request.method === 'HEAD' ? null : new Uint8Array(bytes), {
    headers: {
      ...headers,
      ...(coding && { 'content-encoding': coding }),
      vary: 'accept-encoding',
      'content-type': type,
      'content-length': String(bytes.byteLength),
      'cache-control': isHashed(path) ? 'public, max-age=31536000, immutable' : 'no-cache',
    },
  })
}

/** What compresses well, as the browser gets it. Hashed names are of their content, so that each is compressed once. */
const compressed = new Map<string, Uint8Array>()
const compressible = new Set(['.html', '.js', '.mjs', '.css', '.svg', '.json'])

/** The runtime of the page is published compressed, a quarter of its size; whoever cannot read that gets it as it was. */
async function fileOf(path: string, request: Request): Promise<{ bytes: Uint8Array; coding?: string } | undefined> {
  const read = (path: string) => readFile(join(studioFolder, path)).catch(() => undefined)
  const takesGzip = /\bgzip\b/.test(request.headers.get('accept-encoding') ?? '')
  const known = takesGzip ? compressed.get(path) : undefined
  if (known) return { bytes: known, coding: 'gzip' }
  const plain = await read(path)
  if (plain && !(takesGzip && compressible.has(extname(path)))) return { bytes: plain }
  const packed = plain ? gzipSync(plain) : await read(`${path}.gz`)
  if (!packed) return undefined
  if (!takesGzip) return { bytes: gunzipSync(packed) }
  if (plain && isHashed(path)) compressed.set(path, packed)
  return { bytes: packed, coding: 'gzip' }
}

const notBuilt = () => new Response(`${missing}\n`, { status: 500, headers: { 'content-type': 'text/plain; charset=utf-8' } })
const missing = 'The page is not built: run npm run build.'

/** @throws usage error where the page was not built */
export async function requirePage(): Promise<void> {
  await readFile(join(studioFolder, 'index.html')).catch((cause) => {
    throw usageError(`studio: ${missing}`, { file: studioFolder, cause })
  })
}
