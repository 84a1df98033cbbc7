/** Ten times what a server can take: the rest are told so, and what was accepted is answered whole. Counts only. */
import { afterAll, expect, it } from 'vitest'
import { killServers, startServer } from './testing/server-process.ts'

afterAll(killServers)

const [rows, queue, clients, requestsEach] = [4, 12, 160, 5]

it('refuses with 503 and Retry-After what it cannot take, and loses nothing of what it took', async () => {
  const { child, ended, url, output } = await startServer(['--max-rows', String(rows), '--max-queue', String(queue), '--p', '1'])
  const counts = { whole: 0, refused: 0 }
  const others: string[] = []
  const texts = new Set<string>()
  const ask = async (stream: boolean) => {
    const response = await fetch(`${url}/v1/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({
        ...{
          model: 'parscale-small',
          prompt: 'The people of the',
          // Long enough that clients ask faster than it answers, on any machine.
          max_tokens: 400,
          temperature: 0,
          logit_bias: { 0: -100 },
          stream,
        },
      }),
    })
    const text = await response.text()
    if (response.status === 503 && response.headers.get('retry-after') === '1' && text.includes('"code":"queue_full"'))
      counts.refused++
    else if (response.status === 200 && !stream) {
      counts.whole++
      texts.add(JSON.parse(text).choices[0].text)
    } else if (response.status === 200 && text.endsWith('data: [DONE]\n\n')) {
      counts.whole++
      const chunks = text.split('\n\n').filter((event) => event.startsWith('data: {'))
      texts.add(chunks.map((event) => JSON.parse(event.slice(6)).choices[0].text).join(''))
    } else others.push(`${response.status} ${text}`)
  }
  let done = false
  const health = (async () => {
    const seen = new Set<number>()
    for (; !done; await new Promise((resolve) => setTimeout(resolve, 20))) seen.add((await fetch(`${url}/health`)).status)
    return seen
  })()
  await Promise.all(
    Array.from({ length: clients }, async (_, i) => {
      for (let request = 0; request < requestsEach; request++) await ask(i % 2 === 0)
    }),
  )
  done = true
  expect(others).toEqual([])
  expect(counts.whole + counts.refused).toBe(clients * requestsEach)
  expect(counts.refused).toBeGreaterThan(clients)
  // At least one queue full was let in.
  expect(counts.whole).toBeGreaterThanOrEqual(queue)
  expect(texts.size).toBe(1)
  expect(await health).toEqual(new Set([200]))

  // Nothing is left behind, and the next is answered.
  for (const name of ['requests_running', 'requests_queued', 'rows_in_use'])
    await expect.poll(async () => (await fetch(`${url}/metrics`)).text()).toContain(`parscale_${name}{model="parscale-small"} 0`)
  const before = counts.whole
  await ask(false)
  expect(counts.whole).toBe(before + 1)

  // As many lines as requests, once the server has ended: a line may follow its answer.
  child.kill('SIGTERM')
  expect(await ended).toBe(0)
  const lines = output.stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { path: string; status: number; error?: string })
    .filter(({ path }) => path === '/v1/completions')
  expect(lines.filter(({ status }) => status === 200)).toHaveLength(counts.whole)
  expect(lines.filter(({ error }) => error === 'queue_full')).toHaveLength(counts.refused)
})
