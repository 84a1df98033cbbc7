import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { homedir, tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { cacheDirectory, hubSettings } from './settings.ts'

test('the cache folder: option, HF_HUB_CACHE, HF_HOME, XDG_CACHE_HOME, home, in this order', () => {
  const env = { HF_HUB_CACHE: '/cache', HF_HOME: '/hf', XDG_CACHE_HOME: '/xdg' }
  expect(cacheDirectory({ cacheDirectory: '/mine', env })).toBe('/mine')
  expect(cacheDirectory({ env })).toBe('/cache')
  expect(cacheDirectory({ env: { ...env, HF_HUB_CACHE: '' } })).toBe('/hf/hub')
  expect(cacheDirectory({ env: { XDG_CACHE_HOME: '/xdg' } })).toBe('/xdg/huggingface/hub')
  expect(cacheDirectory({ env: {} })).toBe(join(homedir(), '.cache/huggingface/hub'))
  expect(cacheDirectory({ env: { HF_HOME: '~/hf' } })).toBe(join(homedir(), 'hf/hub'))
})

test('the token: option, HF_TOKEN, then the file that a login wrote', async () => {
  const home = await mkdtemp(join(tmpdir(), 'parscale-settings-'))
  const tokenOf = async (options: Parameters<typeof hubSettings>[0]) => (await hubSettings(options)).token
  expect(await tokenOf({ env: { HF_HOME: home } })).toBeUndefined()
  await writeFile(join(home, 'token'), 'hf_file\n')
  expect(await tokenOf({ env: { HF_HOME: home } })).toBe('hf_file')
  expect(await tokenOf({ env: { HF_TOKEN_PATH: join(home, 'token') } })).toBe('hf_file')
  expect(await tokenOf({ env: { HF_HOME: home, HF_TOKEN: 'hf_env' } })).toBe('hf_env')
  expect(await tokenOf({ token: 'hf_option', env: { HF_HOME: home, HF_TOKEN: 'hf_env' } })).toBe('hf_option')
  await rm(home, { recursive: true })
})

test('a token that cannot stand in a header is refused without being shown', async () => {
  const refused = hubSettings({ env: { HF_TOKEN: 'hf_secret\nx: y' } })
  await expect(refused).rejects.toThrow(/HF_TOKEN: expected printable ASCII/)
  await expect(refused).rejects.not.toThrow(/secret/)
})

test('the endpoint loses its last slash; what is no URL is refused', async () => {
  expect((await hubSettings({ env: { HF_ENDPOINT: 'http://mirror:8080/hf/' } })).endpoint).toBe('http://mirror:8080/hf')
  expect((await hubSettings({ env: {} })).endpoint).toBe('https://huggingface.co')
  await expect(hubSettings({ env: { HF_ENDPOINT: 'mirror' } })).rejects.toMatchObject({ kind: 'usage' })
})

test.each([
  ['1', true],
  ['true', true],
  ['YES', true],
  ['0', false],
  ['', false],
])('HF_HUB_OFFLINE=%s means %s', async (text, offline) => {
  expect((await hubSettings({ env: { HF_HUB_OFFLINE: text } })).offline).toBe(offline)
})
