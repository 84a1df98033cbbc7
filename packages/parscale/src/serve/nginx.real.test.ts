/** Two servers behind Debian's nginx with the configuration of examples/deploy, under load, while one of them is killed or told to end. */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest'
import { freePort } from '../../../core/src/testing/free-port.ts'
import { killServers, startServer } from './testing/server-process.ts'

const folder = mkdtempSync(join(tmpdir(), 'parscale-nginx-'))
let ports: number[]
let nginx: ChildProcess
let log = ''

beforeAll(async () => {
  ports = [await freePort(), await freePort(), await freePort()]
  let text = readFileSync(new URL('../../../../examples/deploy/nginx.conf', import.meta.url), 'utf8')
  for (const [from, to] of [
    ['listen 8080;', `listen 127.0.0.1:${ports[0]};`],
    ['server 127.0.0.1:8081 ', `server 127.0.0.1:${ports[1]} `],
    ['server 127.0.0.1:8082 ', `server 127.0.0.1:${ports[2]} `],
    // Whoever is not root may not write to the usual places.
    [
      'http {\n',
      `http {\n${['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) => `${name}_temp_path ${folder};\n`).join('')}`,
    ],
  ] as const) {
    expect(text.split(from)).toHaveLength(2)
    text = text.replace(from, to)
  }
  const file = join(folder, 'nginx.conf')
  writeFileSync(file, text)
  mkdirSync(join(folder, 'logs'))
  const pid = join(folder, 'nginx.pid')
  nginx = spawn('nginx', ['-p', folder, '-c', file, '-g', `daemon off; pid ${pid}; error_log stderr warn;`], {
    env: { ...process.env, PATH: `${process.env.PATH}:/usr/sbin` },
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  nginx.stderr!.setEncoding('utf8').on('data', (text: string) => (log += text))
  const answers = () =>
    fetch(`${address()}/health`).then(
      () => true,
      () => nginx.exitCode !== null,
    )
  while (!(await answers())) await sleep(20)
  expect(nginx.exitCode, log).toBeNull()
})
afterEach(killServers)
afterAll(async () => {
  nginx.kill()
  await new Promise((resolve) => nginx.on('close', resolve))
  rmSync(folder, { recursive: true })
})

const address = () => `http://127.0.0.1:${ports[0]}`
const startBehind = (port: number) => startServer(['--port', String(port), '--max-queue', '1000'])

type Ending =
  | 'whole'
  /** An error in a stream that had begun, which the client sees. */
  | 'broken'
  /** An end without its last event, and without an error. */
  | 'silent'
  /** No answer, or another status than 200. */
  | 'lost'

const asked = { model: 'parscale-small', prompt: 'The people of the', max_tokens: 60, temperature: 0, logit_bias: { 0: -100 } }

async function ask(stream: boolean): Promise<{ ending: Ending; text: string; why?: string }> {
  let response: Response
  try {
    response = await fetch(`${address()}/v1/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ ...asked, stream, parscale: { p: 2 } }),
    })
    if (response.status !== 200) return { ending: 'lost', text: '', why: `${response.status} ${await response.text()}` }
    if (!stream) {
      const { choices } = (await response.json()) as { choices: [{ text: string }] }
      return { ending: 'whole', text: choices[0].text }
    }
  } catch (error) {
    return { ending: 'lost', text: '', why: String(error) }
  }
  let events = ''
  try {
    const decoder = new TextDecoder()
    for await (const bytes of response.body!) events += decoder.decode(bytes, { stream: true })
  } catch {
    return { ending: 'broken', text: '' }
  }
  if (!events.endsWith('data: [DONE]\n\n')) return { ending: events.includes('"error"') ? 'broken' : 'silent', text: '' }
  const chunks = events.split('\n\n').filter((event) => event.startsWith('data: {'))
  return { ending: 'whole', text: chunks.map((event) => JSON.parse(event.slice(6)).choices[0].text as string).join('') }
}

/** Sixteen clients at a time, half of them with streams, while `change` happens after so many answers; ends after twice as many. */
async function underLoad(answers: number, change: () => Promise<unknown>) {
  const endings: Record<Ending, number> = { whole: 0, broken: 0, silent: 0, lost: 0 }
  const texts = new Set<string>()
  const faults: string[] = []
  let changed: Promise<unknown> | undefined
  const client = async (stream: boolean) => {
    while (endings.whole < 2 * answers && faults.length < 20) {
      const { ending, text, why } = await ask(stream)
      endings[ending]++
      if (ending === 'whole') texts.add(text)
      if (why) faults.push(why)
      if (endings.whole >= answers) changed ??= change()
    }
  }
  await Promise.all(Array.from({ length: 16 }, (_, i) => client(i % 2 === 0)))
  await changed
  expect(faults).toEqual([])
  // Each request was answered by one server, and wholly.
  expect(texts.size).toBe(1)
  return endings
}

it('loses no request that had not begun to stream when a server is killed, and tells the others', async () => {
  const second = await startBehind(ports[2]!)
  let endings: Record<Ending, number>
  let tries = 0
  do {
    const first = await startBehind(ports[1]!)
    endings = await underLoad(80, async () => {
      first.child.kill('SIGKILL')
      await first.ended
    })
    expect(endings).toMatchObject({ lost: 0, silent: 0 })
    // Streams were under way: otherwise nothing was shown, and it is killed once more.
  } while (endings.broken === 0 && ++tries < 10)
  expect(endings.broken).toBeGreaterThan(0)
  expect(endings.broken).toBeLessThanOrEqual(8)
  // One that comes back is asked again, and not before it is ready.
  const again = await startBehind(ports[1]!)
  expect(await underLoad(30, async () => {})).toMatchObject({ lost: 0, silent: 0, broken: 0 })
  expect(again.output.stdout).toContain('"status":200')
  expect(second.output.stdout).toContain('"status":200')
})

it('loses nothing at all when a server is told to end', async () => {
  const [first] = [await startBehind(ports[1]!), await startBehind(ports[2]!)]
  let code: number | null | undefined
  const endings = await underLoad(80, async () => {
    first.child.kill('SIGTERM')
    code = await first.ended
  })
  expect([code, endings]).toEqual([0, { whole: expect.any(Number), broken: 0, silent: 0, lost: 0 }])
  expect(first.output.stderr).toMatch(/ending: \d+ requests are under way/)
})

it("answers in the API's form where no server is left, and lets nobody else than this machine see the metrics", async () => {
  const response = await fetch(`${address()}/v1/models`)
  expect([response.status, response.headers.get('retry-after'), await response.json()]).toMatchObject([
    503,
    '2',
    { error: { code: 'unavailable', type: 'server_error' } },
  ])
  await startBehind(ports[2]!)
  expect((await fetch(`${address()}/metrics`)).status).toBe(200)
})
