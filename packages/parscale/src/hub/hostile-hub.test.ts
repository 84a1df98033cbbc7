/** A hub that wants to be believed: secrets stay out of messages, names cannot drive a terminal, redirects lead to errors. */
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { isParscaleError } from '@parscale/core/internal'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { isSafeFileName, quote } from './names.ts'
import { pullModel } from './pull-model.ts'
import { hubSettings } from './settings.ts'
import { type HubServer, type HubServerOptions, startHubServer } from './testing/hub-server.ts'

const repo = 'ParScale/tiny'
const commit = 'c0ffee'.padEnd(40, '0')
const config = { 'config.json': new TextEncoder().encode('{}'), 'model.safetensors': new Uint8Array(16) }
const token = 'hf_verysecret"&\\x'

let home: string
let server: HubServer | undefined
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'parscale-hostile-'))
})
afterEach(async () => {
  await server?.close()
  await rm(home, { recursive: true })
})

/** What a pull throws, with everything that the error holds as one text. */
async function failure(options: Partial<HubServerOptions>): Promise<{ error: unknown; everything: string }> {
  server = await startHubServer({ repos: { [repo]: { commit, files: config } }, ...options })
  const retry = { attempts: 2, firstDelayMs: 1, stallMs: 60_000 }
  const error: unknown = await pullModel(repo, { endpoint: server.url, token, env: { HF_HOME: home }, retry }).then(
    () => expect.fail('the pull succeeded'),
    (error: unknown) => error,
  )
  const seen: unknown[] = []
  for (let at = error; at instanceof Error; at = at.cause) seen.push(at.message, at.stack, isParscaleError(at) ? at.facts : {})
  return { error, everything: seen.map((part) => (typeof part === 'string' ? part : JSON.stringify(part))).join('\n') }
}

const secretSpellings = [token, encodeURIComponent(token), JSON.stringify(token).slice(1, -1)]

describe('a hub that echoes the token', () => {
  it.each([400, 401, 403, 404, 418, 429, 500, 503])('in the reason of a %i', async (status) => {
    const { error, everything } = await failure({
      fault: () => ({
        kind: 'status',
        status,
        headers: { 'x-error-message': `no rights: ${token} ${encodeURIComponent(token)}` },
      }),
    })
    expect(error).toMatchObject({ kind: 'hub' })
    for (const spelling of secretSpellings) expect(everything).not.toContain(spelling)
  })

  it.each([401, 404, 500])('in an error code beside %i', async (status) => {
    const { everything } = await failure({ fault: () => ({ kind: 'status', status, headers: { 'x-error-code': token } }) })
    for (const spelling of secretSpellings) expect(everything).not.toContain(spelling)
  })

  it('in the name of a file', async () => {
    const { error, everything } = await failure({
      repos: { [repo]: { commit, files: { ...config, [`${token}.gguf`]: new Uint8Array(8) } } },
    })
    expect(error).toMatchObject({ kind: 'hub' })
    for (const spelling of secretSpellings) expect(everything).not.toContain(spelling)
    expect(await readdir(home)).toEqual([])
  })
})

it.each(['http://[::bad', 'http://host:99999/', 'http://', '//', 'file:///etc/passwd', 'javascript:1', '\u00e9\u00e9:'])(
  'a redirect to %s is a refusal of the hub',
  async (location) => {
    const { error } = await failure({
      bareListing: true,
      fault: ({ method }) => (method === 'HEAD' ? { kind: 'status', status: 302, headers: { location } } : undefined),
    })
    expect(error).toMatchObject({ kind: 'hub' })
  },
)

it.each([
  'http://user:SECRETpw@127.0.0.1:1',
  'https://SECRETpw@hub.example',
  'user:SECRETpw@hub.example',
  'ftp://user:SECRETpw@hub.example',
  'http://user:SECRETpw@',
])('an endpoint with credentials is refused without showing them: %s', async (endpoint) => {
  const error: unknown = await hubSettings({ env: { HF_ENDPOINT: endpoint } }).catch((error: unknown) => error)
  expect(error).toMatchObject({ kind: 'usage', message: expect.stringContaining('HF_TOKEN') })
  expect(JSON.stringify([String(error), error])).not.toContain('SECRETpw')
})

describe('names that a terminal would act on', () => {
  /** ESC, CSI in one character, right-to-left override, isolates, marks, line separators, halves of pairs, BOM, zero width. */
  const dangerous = [...'\u001b\u009b\u0007\u007f\u0085\u202e\u202a\u2066\u2069\u200f\u061c\u2028\u2029\ufeff\u200b\ud800']

  it.each(dangerous.map((c) => [`U+${c.charCodeAt(0).toString(16)}`, c] as const))('%s is refused and quoted', (_, c) => {
    expect(isSafeFileName(`a${c}b.gguf`)).toBe(false)
    expect(quote(`a${c}b`)).not.toContain(c)
  })

  it('whatever the text, what is quoted is printable', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 60 }), (text) => {
        expect(quote(text)).not.toMatch(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u)
        if (isSafeFileName(text)) expect(text).not.toMatch(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u)
      }),
      { numRuns: 2000 },
    )
  })

  it('a listing with one of them is refused, and named printably', async () => {
    const { error } = await failure({
      repos: {
        [repo]: { commit, files: { ...config, 'a\u009b31mRED.gguf': new Uint8Array(8), 'b\u202egpj.gguf': new Uint8Array(8) } },
      },
    })
    expect(error).toMatchObject({ kind: 'hub' })
    expect((error as Error).message).toContain('\\u009b')
    expect(`${error} ${(error as Error).stack}`).not.toMatch(/[\u009b\u202e]/)
  })

  it('ordinary names of any language are taken', () => {
    for (const name of ['model-00001-of-00002.safetensors', 'Größe.gguf', '模型.gguf', 'a b (1).gguf', '.gitattributes'])
      expect(isSafeFileName(name)).toBe(true)
  })
})
