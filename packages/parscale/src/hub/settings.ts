/**
 * Where the hub is, who we are and where the cache lies, read from the environment as Python's `huggingface_hub` reads
 * it (its constants.py): HF_ENDPOINT, HF_TOKEN, HF_TOKEN_PATH, HF_HOME, HF_HUB_CACHE, HF_HUB_OFFLINE,
 * and the proxy's variables (proxy.ts).
 */
import { readFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import process from 'node:process'
import { usageError } from '@parscale/core/internal'
import { homeFolder } from '../home-folder.ts'
import { quote } from './names.ts'
import { type Proxies, proxiesOf } from './proxy.ts'

/** Variables by name, as `process.env` has them. Spelt out, so that the types need no others of Node's. */
export type Environment = Readonly<Record<string, string | undefined>>

/** What a caller may set; anything left out comes from `env`. */
export interface HubOptions {
  /** Base URL of the hub. Default: HF_ENDPOINT, else https://huggingface.co. */
  readonly endpoint?: string
  /** Access token. Default: HF_TOKEN, else the file that `hf auth login` wrote. */
  readonly token?: string
  /** Folder with the `models--ORG--NAME` folders. Default: HF_HUB_CACHE, else HF_HOME/hub, else ~/.cache/huggingface/hub. */
  readonly cacheDirectory?: string
  /** Use the cache only, never the network. Default: HF_HUB_OFFLINE. */
  readonly offline?: boolean
  /** Default: the environment of the process. */
  readonly env?: Environment
}

export interface HubSettings {
  /** Without a slash at the end. */
  readonly endpoint: string
  readonly token: string | undefined
  readonly cacheDirectory: string
  readonly offline: boolean
  readonly proxies: Proxies
}

/** @throws usage error for an HF_ENDPOINT or a proxy that is no http(s) URL and for a token that cannot stand in a header. */
export async function hubSettings(options: HubOptions = {}): Promise<HubSettings> {
  const env = options.env ?? process.env
  return {
    endpoint: checkEndpoint(options.endpoint ?? (env.HF_ENDPOINT || 'https://huggingface.co')),
    token: checkToken(options.token ?? env.HF_TOKEN ?? (await readTokenFile(env))),
    cacheDirectory: cacheDirectory(options),
    offline: options.offline ?? ['1', 'ON', 'YES', 'TRUE'].includes((env.HF_HUB_OFFLINE ?? '').toUpperCase()),
    proxies: proxiesOf(env),
  }
}

/** The cache folder alone, for callers that never talk to the hub. */
export function cacheDirectory({ cacheDirectory: given, env = process.env }: HubOptions = {}): string {
  return resolve(given ?? expandHome(env.HF_HUB_CACHE || env.HUGGINGFACE_HUB_CACHE || join(hfHome(env), 'hub')))
}

function hfHome(env: NodeJS.ProcessEnv): string {
  return expandHome(env.HF_HOME || join(env.XDG_CACHE_HOME || join('~', '.cache'), 'huggingface'))
}

function expandHome(path: string): string {
  return path === '~' || path.startsWith('~/') || path.startsWith('~\\') ? join(homeFolder(), path.slice(1)) : path
}

async function readTokenFile(env: NodeJS.ProcessEnv): Promise<string | undefined> {
  try {
    return await readFile(env.HF_TOKEN_PATH ? expandHome(env.HF_TOKEN_PATH) : join(hfHome(env), 'token'), 'utf8')
  } catch {
    return undefined // most people have none, and one that cannot be read is as good as none
  }
}

function checkToken(text: string | undefined): string | undefined {
  const token = text?.trim()
  if (!token) return undefined
  // The token itself never appears in a message.
  if (!/^[\x21-\x7e]+$/.test(token))
    throw usageError('HF_TOKEN: expected printable ASCII without spaces; copy the token again', { flag: 'HF_TOKEN' })
  return token
}

function checkEndpoint(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined
  // Neither a user name nor a password appears in a message.
  if (text.includes('@'))
    throw usageError('HF_ENDPOINT: expected a URL without user name and password; give an access token in HF_TOKEN instead', {
      flag: 'HF_ENDPOINT',
    })
  if ((url?.protocol === 'https:' || url?.protocol === 'http:') && url.search === '' && url.hash === '')
    return text.replace(/\/+$/, '')
  throw usageError(`HF_ENDPOINT: expected a URL such as https://huggingface.co, got ${quote(text)}`, {
    flag: 'HF_ENDPOINT',
    found: text,
  })
}
