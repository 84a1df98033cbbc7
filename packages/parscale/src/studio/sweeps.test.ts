/** What the page shows of a sweep: a real one, before and after it is worked off, and a damaged one. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { createServerApp, ModelRegistry } from '@parscale/core/internal/server'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { writeSweep } from '../sweep/testing/tiny-sweep.ts'
import { runHere } from '../testing/run-here.ts'
import { studioBeside } from './studio-app.ts'
import { SweepList } from './sweeps.ts'

let scratch: string
const at = (...names: string[]) => join(scratch, ...names)
const here = async (...args: string[]) => {
  const { code, stderr } = await runHere(args, { PARSCALE_CACHE: at('cache') })
  expect(code, stderr).toBe(0)
}
beforeAll(() => {
  scratch = mkdtempSync(join(tmpdir(), 'parscale-sweeps-'))
})
afterAll(() => rmSync(scratch, { recursive: true }))

it('shows sweeps beside runs: how far they are, their means, and the curves of their runs', async () => {
  const file = writeSweep(scratch, 'law.yaml', { axes: { p: [1, 2], seed: [1, 2] } })
  await here('sweep', file, '--out', at('runs/law'), '--workers', '0')
  const list = new SweepList(at('runs'))
  const [planned] = await list.list()
  expect(planned).toMatchObject({ name: 'law', counts: { waiting: 4 }, points: [], problem: null, steps: { done: 0, total: 24 } })
  await here('sweep', 'work', at('runs/law'))

  const [done] = await list.list()
  expect(done).toMatchObject({ state: 'done', counts: { finished: 4 }, steps: { done: 24, total: 24 } })
  const rows = readFileSync(at('runs/law/results.csv'), 'utf8').trimEnd().split('\n').slice(1)
  const points = done!.points.map(({ N, P, D, loss, standardError, heldOutError, runs }) =>
    [N, P, D, loss, standardError, heldOutError, runs].join(),
  )
  expect(points).toEqual(rows)

  const options = { models: [], load: {}, runs: at('runs'), dropped: at('dropped'), env: process.env }
  const registry = new ModelRegistry([])
  const beside = studioBeside(registry, options)
  const app = createServerApp({ registry, otherwise: beside.answer, hosts: ['localhost'] })
  const ask = (path: string, signal?: AbortSignal) =>
    app.fetch(new Request(`http://localhost${path}`, { headers: { host: 'localhost' }, ...(signal && { signal }) }))
  const name = `law/${done!.runs[0]!.name}`
  const left = new AbortController()
  const response = await ask(`/studio/runs/events?run=${encodeURIComponent(name)}`, left.signal)
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader()
  const { sweeps, runs, news } = JSON.parse((await reader.read()).value!.replace(/^data: /, ''))
  expect(sweeps).toMatchObject([{ name: 'law', state: 'done' }])
  expect(runs).toEqual([])
  expect(news[0].name).toBe(name)
  expect(news[0].records.at(-1).step).toBe(6)
  left.abort()
  await reader.cancel()
  for (const bad of ['law/../law', 'law/runs/x', '../law', 'law/']) {
    expect((await ask(`/studio/runs/events?run=${encodeURIComponent(bad)}`)).status, bad).toBe(400)
  }
  beside.close()
  await registry.close()
})

it('says what is wrong with a folder that cannot be read', async () => {
  mkdirSync(at('runs/broken'), { recursive: true })
  writeFileSync(at('runs/broken/sweep.json'), '{"format": 1, ')
  const broken = (await new SweepList(at('runs')).list()).find(({ name }) => name === 'broken')
  expect(broken?.problem).toMatch(/sweep\.json: is damaged/)
  expect(broken?.runs).toEqual([])
})
