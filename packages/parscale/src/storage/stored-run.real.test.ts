/**
 * Runs at a real endpoint (moto): killed in the middle of uploads, cut off, and written by two. Whoever looks finds whole
 * checkpoints, and the run ends with the bits of one that was kept here.
 */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { createRandom } from '@parscale/core/internal'
import { expect, it } from 'vitest'
import {
  isWrite,
  look,
  moto,
  objects,
  pending,
  proxy,
  recipe,
  run,
  scratch,
  start,
  stored,
  untilLogged,
} from './testing/stored-runs.ts'

const random = createRandom(5)
const kills = Number(process.env.PARSCALE_KILLS ?? 3)

it('killed in mid-upload again and again, on machines with and without what was there, it ends with the bits of a run kept here', async () => {
  const whole = await run(recipe('--out', join(scratch, 'whole')))
  expect(whole.code, whole.stderr).toBe(0)
  const seen = new Set<number>()
  let machine = 0
  for (let round = 0; round < kills; round++) {
    const has = look('run')
    const args = has || round > 0 ? ['train', '--resume', 's3://bucket/run'] : recipe('--out', 's3://bucket/run')
    if (has && round % 3 === 2) machine++ // another one, whose cache is empty
    let writes = 0
    const last = 1 + random.below(40)
    let reached = () => {}
    const there = new Promise<void>((resolve) => {
      reached = resolve
    })
    // The last one hangs, so that the kill falls into it: half of it has arrived here, nothing at the server.
    proxy.rule = (asked) => {
      if (!isWrite(asked) || ++writes < last) return undefined
      reached()
      return random.below(2) === 0 ? { kind: 'silent' } : { kind: 'lose-answer' }
    }
    const { child, ended } = start(args, { PARSCALE_CACHE: join(scratch, `cache-${machine}`) })
    await Promise.race([there, ended])
    await sleep(random.uniform() * 60)
    child.kill('SIGKILL')
    const { code, stderr } = await ended
    // Null but for one that was done before its kill came.
    expect([null, 0], stderr).toContain(code)
    const now = look('run')
    if (now) {
      expect(now.wrong).toEqual([])
      seen.add(now.sequence)
    }
    // Where nothing was stored, only the machine that began it can go on.
    if (!now && machine > 0) machine--
  }
  proxy.rule = () => undefined
  moto.python(`s3.put_object(Bucket=bucket, Key='run/notes.txt', Body=b'mine')`)
  const last = await run(['train', '--resume', 's3://bucket/run', '--json'], {
    PARSCALE_CACHE: join(scratch, `cache-${machine}`),
  })
  expect(last.code, last.stderr).toBe(0)
  expect(JSON.parse(last.stdout)).toMatchObject({ run: 's3://bucket/run', model: 's3://bucket/run/model' })
  expect(look('run')).toMatchObject({ wrong: [] })
  expect(stored('run/model/model.safetensors').equals(await readFile(join(scratch, 'whole/model/model.safetensors')))).toBe(true)
  expect(pending()).toBe(0)
  // What no manifest names is gone, and so is the lock; what somebody laid beside it is not.
  const manifest = JSON.parse(stored('run/parscale-manifest.json').toString())
  const named = Object.values<{ key: string }>(manifest.files).map(({ key }) => `run/${key}`)
  expect(objects('run/').sort()).toEqual([...named, 'run/notes.txt', 'run/parscale-manifest.json'].sort())
  console.log(`${kills} kills, manifests ${[...seen].join(' ')} seen, on ${machine + 1} machines`)
})

it('while the endpoint is away training goes on, says so once, and stores all of it later', async () => {
  let away = false
  let puts = 0
  let said = ''
  let refused = 0
  proxy.rule = (asked) => {
    if (isWrite(asked) && asked.path.endsWith('manifest.json') && ++puts === 2) away = true
    // Until another checkpoint has failed meanwhile, of those that follow: each is tried as often as it says.
    if (away && asked.method === 'PUT' && said.includes('training goes on') && ++refused > 2) away = false
    return away ? { kind: 'status', status: 503, code: 'SlowDown' } : undefined
  }
  const { child, ended } = start(recipe('--out', 's3://bucket/away', '--steps', '1500', '--checkpoint-every', '100'))
  child.stderr.on('data', (text) => {
    said += text
  })
  const { code, stderr } = await ended
  expect(code, stderr).toBe(0)
  expect(stderr.match(/warning: s3:\/\/bucket\/away/g)).toHaveLength(1)
  expect(stderr).toMatch(
    /503 \(SlowDown, 2 times\); it is too busy.*\n\s+training goes on; it is stored with the next checkpoint/,
  )
  expect(refused).toBeGreaterThan(2)
  expect(stderr).toContain('s3://bucket/away: stored again')
  expect(look('away')).toMatchObject({ wrong: [], steps: expect.arrayContaining(['step-00001500']) })
})

it('a run whose end cannot be stored fails, says where it lies, and is stored when it goes on', async () => {
  let manifests = 0
  proxy.rule = (asked) => {
    if (asked.method === 'PUT' && asked.path.endsWith('manifest.json')) manifests++
    return manifests > 1 ? { kind: 'status', status: 403, code: 'ExpiredToken' } : undefined
  }
  const { code, stderr } = await run(recipe('--out', 's3://bucket/end'))
  expect(code).toBe(5)
  expect(stderr).toMatch(
    /the session token has expired.*; the run is finished and lies in .*, but not all of it is stored: try again with parscale train --resume s3:\/\/bucket\/end/,
  )
  proxy.rule = () => undefined
  const again = await run(['train', '--resume', 's3://bucket/end'])
  expect(again.code, again.stderr).toBe(0)
  expect(look('end')).toMatchObject({ wrong: [], steps: expect.arrayContaining(['step-00000024']) })
  expect(objects('end/model/')).toContain('end/model/model.safetensors')
})

it('a second writer is refused; the lock of one that was killed is taken over at once', async () => {
  const first = start(recipe('--out', 's3://bucket/two', '--steps', '100000'))
  await untilLogged(first.child)
  for (const args of [recipe('--out', 's3://bucket/two'), ['train', '--resume', 's3://bucket/two']]) {
    const second = await run(args, { PARSCALE_CACHE: join(scratch, 'second') })
    expect(second.code, second.stderr).toBe(2)
    expect(second.stderr).toMatch(/process \d+ on .* is writing there; wait for it|has a run already/)
  }
  while (!look('two')) await sleep(50)
  first.child.kill('SIGKILL')
  await first.ended
  const third = start(['train', '--resume', 's3://bucket/two'], { PARSCALE_CACHE: join(scratch, 'second') })
  await untilLogged(third.child)
  // The lock's owner changes behind its back, as after a minute in which it was suspended.
  moto.python(
    `s3.put_object(Bucket=bucket, Key='two/parscale-lock.json', Body=b'{"id":"other","pid":1,"host":"elsewhere","since":"2026-01-01"}')`,
  )
  const { code, stderr } = await third.ended
  expect(code).toBe(2)
  expect(stderr).toMatch(/another process has taken this run over; nothing more is stored there/)
  expect(look('two')!.wrong).toEqual([])
})
