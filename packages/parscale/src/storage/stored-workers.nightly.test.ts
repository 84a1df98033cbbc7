/** A run of several workers at storage, each with a cache of its own: the bits of one worker with its run here, and one of them that stores. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import process from 'node:process'
import { setTimeout as sleep } from 'node:timers/promises'
import { createRandom } from '@parscale/core/internal'
import { beforeAll, expect, it } from 'vitest'
import {
  isWrite,
  look,
  objects,
  pending,
  proxy,
  recipe,
  run,
  scratch,
  start,
  steps,
  stored,
  workers,
} from './testing/stored-runs.ts'

const random = createRandom(8)
const shared = (...more: string[]) => recipe('--micro-batches', '4', ...more)
const checkpoint = `checkpoints/step-${String(steps).padStart(8, '0')}`

beforeAll(async () => {
  const { code, stderr } = await run(shared('--out', join(scratch, 'whole')))
  expect(code, stderr).toBe(0)
})

/** All that the run computed, as storage has it. */
async function expectSameBits(name: string): Promise<void> {
  expect(look(name)).toMatchObject({ wrong: [], steps: expect.arrayContaining([checkpoint.slice(12)]) })
  const { files } = JSON.parse(stored(`${name}/parscale-manifest.json`).toString())
  for (const path of ['model/model.safetensors', `${checkpoint}/parameters.safetensors`, `${checkpoint}/moments.safetensors`])
    expect(stored(`${name}/${files[path].key}`).equals(await readFile(join(scratch, 'whole', path))), path).toBe(true)
  const losses = (text: string) => text.match(/"loss":[^,}]+/g)
  expect(losses(stored(`${name}/${files['metrics.jsonl'].key}`).toString())).toEqual(
    losses(await readFile(join(scratch, 'whole/metrics.jsonl'), 'utf8')),
  )
  expect([pending(), objects(`${name}/`).filter((key) => key.endsWith('lock.json'))]).toEqual([0, []])
}

it('2 workers, data and run at storage: the bits of one, and one of them stores', async () => {
  const from = proxy.asked.length
  const { code, stdout, stderr } = await run(shared('--out', 's3://bucket/two-workers', '--json'), {}, 2)
  expect(code, stderr).toBe(0)
  expect(JSON.parse(stdout)).toMatchObject({ run: 's3://bucket/two-workers', steps })
  await expectSameBits('two-workers')
  const asked = proxy.asked.slice(from)
  // Each fetches the data, as none sees the other's cache; one writes what readers go by, each time once.
  expect(asked.filter(({ method, path }) => method === 'GET' && path.endsWith('data/text.txt'))).toHaveLength(2)
  expect(asked.filter((each) => isWrite(each) && each.path.endsWith('manifest.json'))).toHaveLength(
    look('two-workers')!.sequence + 1,
  )
})

it('killed in mid-upload, with another number each time: nothing half visible, and the same bits', async () => {
  let begun = false
  for (const count of [2, 4, 3]) {
    let writes = 0
    const last = 4 + random.below(20)
    let reached = () => {}
    const there = new Promise<void>((resolve) => {
      reached = resolve
    })
    proxy.rule = (asked) => {
      if (!isWrite(asked) || ++writes < last) return undefined
      reached()
      return { kind: 'silent' }
    }
    const args = begun ? ['train', '--resume', 's3://bucket/killed'] : shared('--out', 's3://bucket/killed')
    begun = true
    const { ended } = start(args, { PARSCALE_CACHE: join(scratch, 'killed') }, count)
    await Promise.race([there, ended])
    await sleep(random.uniform() * 60)
    // Any of them: the one that stores, or one that waits for it.
    process.kill(workers()[random.below(count)]!, 'SIGKILL')
    const killed = performance.now()
    const { code, stderr } = await ended
    expect((performance.now() - killed) / 1000).toBeLessThan(5)
    expect(code, stderr).not.toBe(0)
    expect(stderr).toMatch(/signal 9/)
    expect(look('killed')?.wrong ?? []).toEqual([])
  }
  proxy.rule = () => undefined
  const { code, stderr } = await run(['train', '--resume', 's3://bucket/killed'], { PARSCALE_CACHE: join(scratch, 'killed') }, 2)
  expect(code, stderr).toBe(0)
  await expectSameBits('killed')
})
