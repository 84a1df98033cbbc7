/** examples/deploy/kubernetes.yaml: right by Kubernetes' own schemas, and what it asks of the server acted out on a process. */
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, afterEach, expect, it } from 'vitest'
import { parseAllDocuments } from 'yaml'
import { z } from 'zod'
import { pythonEnvironment } from '../../../../scripts/python-env.mjs'
import { killServers, spawnServer } from './testing/server-process.ts'

const file = fileURLToPath(new URL('../../../../examples/deploy/kubernetes.yaml', import.meta.url))
const documents = parseAllDocuments(readFileSync(file, 'utf8')).map((document) => document.toJS() as unknown)
const probe = z.object({ httpGet: z.object({ path: z.string(), port: z.literal('http') }) })
const deployment = z.object({
  kind: z.literal('Deployment'),
  spec: z.object({
    template: z.object({
      spec: z.object({
        terminationGracePeriodSeconds: z.number(),
        containers: z.tuple([
          z.object({
            args: z.array(z.string()),
            startupProbe: probe,
            readinessProbe: probe,
            livenessProbe: probe,
            lifecycle: z.object({ preStop: z.object({ sleep: z.object({ seconds: z.number() }) }) }),
          }),
        ]),
      }),
    }),
  }),
})
const { terminationGracePeriodSeconds, containers } = deployment.parse(documents[0]).spec.template.spec
const [{ args, startupProbe, readinessProbe, livenessProbe, lifecycle }] = containers

const folder = mkdtempSync(join(tmpdir(), 'parscale-pod-'))
afterEach(killServers)
afterAll(() => rmSync(folder, { recursive: true }))

it('is what the schemas of Kubernetes allow, the newest and that of 1.30', () => {
  const validate = fileURLToPath(new URL('./kubernetes-validate', `file://${pythonEnvironment('kubernetes')}`))
  for (const version of ['1.30', '1.37']) {
    const run = () => execFileSync(validate, ['--strict', '--kubernetes-version', version, file], { encoding: 'utf8' })
    expect(run).not.toThrow()
  }
  const wrong = join(folder, 'wrong.yaml')
  writeFileSync(wrong, readFileSync(file, 'utf8').replace('failureThreshold: 300', 'failures: 300'))
  expect(() => execFileSync(validate, ['--strict', wrong], { stdio: 'pipe' })).toThrow()
})

it('gives the server time to drain', () => {
  const [drain] = args.flatMap((arg) => /^--drain=(\d+)$/.exec(arg)?.[1] ?? [])
  expect(lifecycle.preStop.sleep.seconds + Number(drain) + 1).toBeLessThan(terminationGracePeriodSeconds)
})

/** The pod's own command line, with paths of this machine, started as a pod is. */
function pod(change: (arg: string) => string | undefined = () => undefined) {
  const keys = join(folder, 'keys')
  writeFileSync(keys, 'the-key\n')
  mkdirSync(join(folder, 'cache'), { recursive: true })
  const [command, ...given] = args
  expect(command).toBe('serve')
  const small = fileURLToPath(new URL('../../models/small', import.meta.url))
  const here = given.map(
    (arg) =>
      change(arg) ??
      arg
        .replace('/models/chat', small)
        .replace('--port=8080', '--port=0')
        .replace('/run/secrets/parscale/keys', keys)
        .replace('--threads=4', '--threads=1'),
  )
  const server = spawnServer(here, { env: { PARSCALE_CACHE: join(folder, 'cache'), HF_HOME: join(folder, 'cache') } })
  const url = async () => {
    await server.said('listening on ')
    return /listening on (\S+)/.exec(server.output.stderr)![1]!.replace('0.0.0.0', '127.0.0.1')
  }
  return { ...server, url }
}

const status = (url: string, { httpGet: { path } }: z.infer<typeof probe>) => fetch(`${url}${path}`).then(({ status }) => status)

const complete = (url: string, more: object) =>
  fetch(`${url}/v1/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: 'Bearer the-key' },
    body: JSON.stringify({ model: 'chat', prompt: 'The people', temperature: 0, logit_bias: { 0: -100 }, ...more }),
  })

it('starts, is ready, is told to end while it streams, ends the stream and itself', async () => {
  // Until the model is loaded, it lives and is not ready. It listens before it loads; where the first look comes too late, once more.
  const starts = async () => {
    const server = pod()
    const url = await server.url()
    const seen = new Set<number>()
    while (!seen.has(200)) {
      expect(await status(url, livenessProbe)).toBe(200)
      seen.add(await status(url, startupProbe))
    }
    return { ...server, url, seen: [...seen] }
  }
  let met = await starts()
  for (let tries = 0; tries < 20 && met.seen.length < 2; tries++) {
    await met.kill()
    met = await starts()
  }
  expect(met.seen).toEqual([503, 200])
  const { child, ended, url } = met
  expect(await status(url, readinessProbe)).toBe(200)
  // Eight of eight streams: it takes long on a fast machine too.
  const stream = await complete(url, { stream: true, max_tokens: 500, parscale: { p: 8 }, n: 8 })
  child.kill('SIGTERM')
  await expect.poll(() => status(url, readinessProbe), { interval: 1 }).toBe(503)
  expect(await status(url, livenessProbe)).toBe(200)
  const refused = await complete(url, { max_tokens: 1 })
  expect([refused.status, refused.headers.get('retry-after')]).toEqual([503, '1'])
  expect(await stream.text()).toMatch(/"finish_reason":"length"[\s\S]*\[DONE\]\s*$/)
  expect(await ended).toBe(0)
})

it('tells those whom it cuts off at the deadline, and ends itself', async () => {
  const { child, ended, said, url: address, output } = pod((arg) => (arg.startsWith('--drain=') ? '--drain=0.01' : undefined))
  await said('ready: ')
  const url = await address()
  const streams = await Promise.all(
    Array.from({ length: 8 }, () => complete(url, { stream: true, max_tokens: 500, parscale: { p: 8 } })),
  )
  child.kill('SIGTERM')
  const texts = await Promise.all(streams.map((stream) => stream.text()))
  expect(await ended).toBe(0)
  expect(output.stderr).toContain('took too long and are cut off')
  const cut = texts.filter((text) => !text.includes('[DONE]'))
  expect(cut.length).toBeGreaterThan(0)
  for (const text of cut) expect(text).toMatch(/data: \{"error":\{[^\n]*"code":"server_ending"\}\}\n\n$/)
})

it('ends at once when it is told twice', async () => {
  const { child, ended, said, url: address } = pod()
  await said('ready: ')
  const url = await address()
  const stream = await complete(url, { stream: true, max_tokens: 500, parscale: { p: 8 }, n: 8 })
  child.kill('SIGTERM')
  await said('are under way')
  // The same signal a few milliseconds later is the first one's echo.
  await new Promise((resolve) => setTimeout(resolve, 150))
  child.kill('SIGTERM')
  expect(await ended).toBe(130)
  await expect(stream.text()).rejects.toThrow()
})
