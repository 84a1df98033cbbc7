/** A model's folder, or a .gguf file, behind a URL of any web server. */
import { parseJsonText } from '../../checkpoint/index.ts'
import { parseSafetensorsIndex } from '../../checkpoint/safetensors-index.ts'
import { checkpointError, usageError } from '../../errors.ts'
import { findFile, get, type Headers, remoteFile } from './http.ts'
import { type ModelSource, neededFiles, type SourceFile } from './source.ts'

const listing = 'files.json'
const companions = [
  'tokenizer.json',
  'tokenizer_config.json',
  'generation_config.json',
  'special_tokens_map.json',
  'chat_template.jinja',
]
/** Asked for where no listing says which there are. */
const usualSets = ['streams/p2/', 'streams/p4/', 'streams/p8/']

export function urlSource(url: string, headers: Headers = {}): ModelSource {
  const base = globalThis.location?.href
  if (!URL.canParse(url, base))
    throw usageError(`source.url: ${JSON.stringify(url)} is no URL`, { flag: 'source.url', found: url })
  const absolute = new URL(url, base)
  const gguf = absolute.pathname.endsWith('.gguf')
  if (!gguf && !absolute.pathname.endsWith('/')) absolute.pathname += '/'
  const { href } = absolute
  return {
    name: href,
    identity: `url:${href}`,
    gguf,
    list: (signal) => (gguf ? listFile(href, headers, signal) : listFolder(href, headers, signal)),
  }
}

async function listFile(url: string, headers: Headers, signal?: AbortSignal): Promise<SourceFile[]> {
  const file = await findFile(new URL(url).pathname.split('/').at(-1)!, url, headers, signal)
  if (file) return [file]
  throw checkpointError(`${url}: there is no such file`, { file: url })
}

async function listFolder(url: string, headers: Headers, signal?: AbortSignal): Promise<SourceFile[]> {
  const listed = await get(url + listing, headers, signal)
  if (!listed) return neededFiles(await probe(url, headers, signal), url)
  const files = neededFiles(parseListing(await listed.text(), url, headers), url)
  return await Promise.all(files.map((file) => (file.tag === undefined ? tagged(file, url, headers, signal) : file)))
}

/** Without a digest or a tag only the server can say whether a file of the same size is another one. */
async function tagged(file: SourceFile, url: string, headers: Headers, signal?: AbortSignal): Promise<SourceFile> {
  const { path, size } = file
  const tag = (await findFile(path, url + path, headers, signal))?.tag
  return remoteFile({ path, size, tag }, url + path, headers)
}

function parseListing(text: string, url: string, headers: Headers): SourceFile[] {
  const file = url + listing
  const entries = parseJsonText(text, file)
  const isEntry = (entry: unknown): entry is { path: string; size: number; sha256?: unknown; tag?: unknown } => {
    const { path, size } = (entry ?? {}) as { path?: unknown; size?: unknown }
    return typeof path === 'string' && Number.isSafeInteger(size) && (size as number) >= 0
  }
  if (!Array.isArray(entries) || !entries.every(isEntry))
    throw checkpointError(`${file}: expected a list of { path, size, sha256, tag }`, { file })
  return entries.map(({ path, size, sha256, tag }) => {
    const digest = typeof sha256 === 'string' ? sha256.toLowerCase() : undefined
    const version = digest ?? (typeof tag === 'string' ? tag : undefined)
    return remoteFile({ path, size, sha256: digest, tag: version }, url + path, headers)
  })
}

/** Asks for the usual names. */
async function probe(url: string, headers: Headers, signal?: AbortSignal): Promise<SourceFile[]> {
  const find = (path: string) => findFile(path, url + path, headers, signal)
  const found = async (paths: readonly string[]) =>
    (await Promise.all(paths.map(find))).filter((file): file is SourceFile => file !== undefined)
  const config = await find('config.json')
  if (!config) return []
  const [weights, small, configs] = await Promise.all([
    findWeights(url, headers, signal),
    found(companions),
    found(usualSets.map((set) => `${set}config.json`)),
  ])
  const sets = await found(configs.map(({ path }) => path.replace('config.json', 'model.safetensors')))
  return [config, ...weights, ...small, ...configs, ...sets]
}

async function findWeights(url: string, headers: Headers, signal?: AbortSignal): Promise<SourceFile[]> {
  const single = await findFile('model.safetensors', `${url}model.safetensors`, headers, signal)
  if (single) return [single]
  const name = 'model.safetensors.index.json'
  const index = await get(url + name, headers, signal)
  if (!index) return []
  const shards = new Set(parseSafetensorsIndex(await index.text(), url + name).values())
  const files = await Promise.all([name, ...shards].map((path) => findFile(path, url + path, headers, signal)))
  return files.filter((file): file is SourceFile => file !== undefined)
}
