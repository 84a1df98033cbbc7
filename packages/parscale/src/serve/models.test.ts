/** Several models of one server: files that go away, are replaced, are broken or too large, and two servers on one cache. */
import {
  cpSync,
  ftruncateSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, it } from 'vitest'
import { parscale } from '../testing/cli.ts'
import { killServers, startServer } from './testing/server-process.ts'

const small = join(import.meta.dirname, '../../models/small')
const folder = mkdtempSync(join(tmpdir(), 'parscale-models-'))
const copy = (name: string) => {
  cpSync(small, join(folder, name), { recursive: true })
  return join(folder, name)
}
const weights = (path: string) => join(path, 'model.safetensors')
afterAll(() => {
  killServers()
  rmSync(folder, { recursive: true })
})

/** A model of 384 GB, of which the file system keeps what is not zero. */
function hugeModel(): string {
  const path = copy('huge')
  // Stream sets would have all of it read, to see whether they belong to it.
  rmSync(join(path, 'streams'), { recursive: true })
  const config = JSON.parse(readFileSync(join(path, 'config.json'), 'utf8'))
  writeFileSync(join(path, 'config.json'), JSON.stringify({ ...config, vocab_size: 1e9 }))
  const file = readFileSync(weights(path))
  const start = 8 + Number(file.readBigUInt64LE(0))
  const { __metadata__, ...tensors } = JSON.parse(file.toString('utf8', 8, start)) as Record<
    string,
    { dtype: string; shape: number[]; data_offsets: [number, number] }
  >
  const name = 'model.embed_tokens.weight'
  const { dtype, shape, data_offsets: first } = tensors[name]!
  // The first tensor becomes the last one, and large.
  const [shift, end] = [first[1], file.length - start]
  const bytes = 2 * 1e9 * shape[1]!
  const moved = Object.fromEntries(
    Object.entries(tensors).map(([key, one]) => [key, { ...one, data_offsets: one.data_offsets.map((at) => at - shift) }]),
  )
  const header = JSON.stringify({
    ...moved,
    [name]: { dtype, shape: [1e9, shape[1]], data_offsets: [end - shift, end - shift + bytes] },
  })
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(Buffer.byteLength(header)))
  const written = openSync(weights(path), 'w')
  writeSync(written, Buffer.concat([length, Buffer.from(header), file.subarray(start + shift)]))
  ftruncateSync(written, 8 + Buffer.byteLength(header) + end - shift + bytes)
  return path
}

it('lives on when the files of a model go away, are replaced, cut short or too large, and says so', async () => {
  const [gone, replaced, cut] = [copy('gone'), copy('replaced'), copy('cut')]
  truncateSync(weights(cut), 100_000)
  const { url, output } = await startServer([
    `a=${small}`,
    `gone=${gone}`,
    `replaced=${replaced}`,
    `cut=${cut}`,
    `huge=${hugeModel()}`,
  ])
  const post = async (path: string, body: object) => {
    const response = await fetch(`${url}${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    })
    return { status: response.status, retryAfter: response.headers.get('retry-after'), ...((await response.json()) as object) }
  }
  const complete = (model: string) =>
    post('/v1/completions', { model, prompt: 'The people', max_tokens: 8, temperature: 0, logit_bias: { 0: -100 } })

  // What is loaded needs its files no more.
  const before = await complete('gone')
  expect(before).toMatchObject({ status: 200 })
  rmSync(gone, { recursive: true })
  expect(await complete('gone')).toMatchObject({ status: 200, choices: (before as unknown as { choices: unknown }).choices })
  expect((await post('/models/unload', { model: 'gone' })).status).toBe(200)
  expect(await complete('gone')).toMatchObject({
    status: 500,
    error: {
      type: 'server_error',
      code: 'checkpoint',
      message: expect.stringContaining(`${gone}: there is no such file or folder`),
    },
  })

  // Another model under the same name is read when it is loaded next.
  expect(await complete('replaced')).toMatchObject({ status: 200 })
  const config = JSON.parse(readFileSync(join(replaced, 'config.json'), 'utf8'))
  writeFileSync(join(replaced, 'config.json'), JSON.stringify({ ...config, max_position_embeddings: 4 }))
  expect(await complete('replaced')).toMatchObject({ status: 200 })
  await post('/models/unload', { model: 'replaced' })
  await post('/models/load', { model: 'replaced' })
  const long = { model: 'replaced', prompt: 'The people of the town came out to see' }
  expect(await post('/v1/completions', long)).toMatchObject({ status: 400, error: { code: 'context_length_exceeded' } })

  expect(await complete('cut')).toMatchObject({
    status: 500,
    error: { code: 'checkpoint', message: expect.stringContaining(weights(cut)) },
  })
  expect(await complete('huge')).toMatchObject({
    status: 503,
    retryAfter: '5',
    error: { code: 'resource', message: expect.stringMatching(/huge needs \d+\.\d GB of memory .*, [\d.]+ GB are free/) },
  })

  expect(await complete('a')).toMatchObject({ status: 200 })
  const { stdout } = await parscale(['ps', '--url', url])
  expect(stdout).toMatch(/^a +ready/m)
  expect(stdout).toMatch(/^replaced +ready/m)
  for (const [name, problem] of [
    ['gone', 'there is no such file or folder'],
    ['cut', 'model.safetensors'],
    ['huge', 'GB are free'],
  ])
    expect(stdout).toMatch(new RegExp(`^${name} +failed[\\s\\S]*^${name}: .*${problem}`, 'm'))
  expect(output.stderr).not.toContain('    at ')
})

it('shares its cache with another server that starts at the same time', async () => {
  const env = { PARSCALE_CACHE: join(folder, 'cache') }
  const servers = await Promise.all([startServer(['--engine', 'native'], { env }), startServer(['--engine', 'native'], { env })])
  const texts = await Promise.all(
    servers.map(async ({ url }) => {
      const response = await fetch(`${url}/v1/completions`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ model: 'parscale-small', prompt: 'The people', max_tokens: 8, temperature: 0 }),
      })
      return ((await response.json()) as { choices: [{ text: string }] }).choices[0].text
    }),
  )
  expect(texts[0]).toBe(texts[1])
})
