/**
 * `parscale train` as people run it, killed with -9 again and again: at any moment, and inside the writing of checkpoints.
 * However often that happens, the run ends with the bytes of one that was left alone.
 */
import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, watch } from 'node:fs'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { createRandom } from '@parscale/core/internal'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { suspendWhere } from '../../../core/src/testing/suspend.ts'
import { bundledCommand } from '../testing/bundle.ts'

/** The command as one file: it is started a hundred times, and starts twice as fast as from sources or from a build. */
let program: string
let folder: string
const random = createRandom(9)
const [firstSteps, secondSteps] = [60, 140]
const lastStep = firstSteps + secondSteps

let scratch: string
let recipe: string[]
let env: NodeJS.ProcessEnv
/** A run that nobody disturbed. */
let whole: string

beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'parscale-kill-'))
  env = { ...process.env, PARSCALE_CACHE: join(scratch, 'cache') }
  const words = 'streams run down the old hills and under bridges where children learn to swim while mothers watch'.split(' ')
  const sentence = () => Array.from({ length: 40 }, () => words[random.below(words.length)]).join(' ')
  const data = join(scratch, 'data.txt')
  await writeFile(data, Array.from({ length: 60 }, sentence).join('\n\n'))
  recipe = [
    ...['two-stage', '--data', data, '--separator', '\n\n', '--steps', `${firstSteps}`, '--second-steps', `${secondSteps}`],
    ...[
      '--hidden-size',
      '16',
      '--intermediate-size',
      '32',
      '--layers',
      '2',
      '--heads',
      '2',
      '--kv-heads',
      '1',
      '--head-dim',
      '8',
    ],
    ...[
      '--vocab-size',
      '300',
      '--held-out',
      '0.2',
      '--prefix-tokens',
      '4',
      '--batch-size',
      '2',
      '--sequence-length',
      '16',
      '--threads',
      '1',
    ],
    ...[
      '--evaluate-every',
      '25',
      '--evaluate-sequences',
      '4',
      '--set',
      'sample.tokens=4',
      '--set',
      'evaluation.diagnoseTokens=0',
    ],
  ]
  ;({ program, folder } = await bundledCommand())
  whole = join(scratch, 'whole')
  execFileSync(process.execPath, [program, 'train', ...recipe, '--checkpoint-every', '0', '--out', whole], { env, stdio: 'pipe' })
})
afterAll(() => Promise.all([scratch, folder].map((path) => rm(path, { recursive: true, force: true }))))

/** Begins the run, or goes on with it where it has begun. */
function start(run: string, ...more: string[]) {
  const args = existsSync(join(run, 'config.json')) ? ['--resume', run, '--threads', '1'] : [...recipe, ...more, '--out', run]
  const child = spawn(process.execPath, [program, 'train', ...args], { env, stdio: ['ignore', 'ignore', 'pipe'] })
  let talk = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    talk += text
  })
  const ended = once(child, 'close').then(([code]) => ({ code: code as number | null, talk }))
  return { child, ended }
}

async function isInsideWrite(run: string): Promise<boolean> {
  const names = await readdir(join(run, 'checkpoints')).catch(() => [])
  return names.some((name) => name.includes('.partial-') || !existsSync(join(run, 'checkpoints', name, 'complete')))
}

/** Resolves when the trainer begins to write its next checkpoint but `skip`. */
async function checkpointBegins(run: string, skip: number, signal: AbortSignal): Promise<void> {
  const folder = join(run, 'checkpoints')
  while (!existsSync(folder) && !signal.aborted) await sleep(5)
  if (signal.aborted) return
  await new Promise<void>((resolve) => {
    let left = skip
    const seen = new Set<string>()
    const watcher = watch(folder, (_, name) => {
      if (!name?.includes('.partial-') || seen.has(name)) return
      seen.add(name)
      if (left-- <= 0) watcher.close()
    })
    watcher.on('close', resolve)
    signal.addEventListener('abort', () => watcher.close())
  })
}

const records = async (run: string, name: string): Promise<Record<string, unknown>[]> =>
  (await readFile(join(run, name), 'utf8'))
    .trimEnd()
    .split('\n')
    .map((line) => {
      const { time: _, seconds: __, ...record } = JSON.parse(line)
      return record
    })

const checkpointFolder = (run: string, step: number) => join(run, 'checkpoints', `step-${String(step).padStart(8, '0')}`)

/** Everything that a run computes, as text; without what a clock says. */
async function outcome(run: string) {
  const files = ['parameters.safetensors', 'moments.safetensors'].map((name) => join(checkpointFolder(run, lastStep), name))
  const { state } = JSON.parse(await readFile(join(checkpointFolder(run, lastStep), 'state.json'), 'utf8'))
  const bytes = await Promise.all([...files, join(run, 'model', 'model.safetensors')].map((file) => readFile(file, 'latin1')))
  return {
    bytes,
    position: state.position,
    metrics: await records(run, 'metrics.jsonl'),
    samples: await records(run, 'samples.jsonl'),
  }
}

it('is killed at 50 moments, and ends as a run that was left alone', async () => {
  const run = join(scratch, 'killed')
  let insideWrites = 0
  const begin = Date.now()
  for (let round = 0, tries = 0; round < 50; tries++) {
    expect(tries).toBeLessThan(500)
    const { child, ended } = start(run, '--checkpoint-every', '1')
    const gone = new AbortController()
    child.on('exit', () => gone.abort())
    if (round % 5 === 0) await sleep(random.uniform() * 1200)
    else {
      await checkpointBegins(run, random.below(6), gone.signal)
      // By turns where a checkpoint is half-written, and a little later.
      if (round % 2 === 0) await suspendWhere(child, () => isInsideWrite(run))
      else await sleep(random.uniform() * 6)
    }
    child.kill('SIGKILL')
    const { code, talk } = await ended
    // A fast machine may be done before: then it is as it should be, and another one begins.
    if (code === 0) {
      expect(await outcome(run)).toEqual(await outcome(whole))
      await rm(run, { recursive: true })
      continue
    }
    expect(code, talk).toBeNull()
    round++
    insideWrites += Number(await isInsideWrite(run))
  }
  const reached = (await records(run, 'metrics.jsonl').catch(() => [])).length
  const { code, talk } = await start(run).ended
  expect(code, talk).toBe(0)
  console.log(`${insideWrites} of 50 kills lay inside a write, at ${reached} records, in ${(Date.now() - begin) / 1000} s`)
  expect(insideWrites).toBeGreaterThanOrEqual(10)
  expect(await outcome(run)).toEqual(await outcome(whole))
})

it('SIGTERM writes a checkpoint and ends with the exit code of an interruption; the run can go on', async () => {
  const run = join(scratch, 'terminated')
  const { child, ended } = start(run, '--checkpoint-every', '0')
  while (!existsSync(join(run, 'metrics.jsonl')) || (await records(run, 'metrics.jsonl').catch(() => [])).length < 6)
    await sleep(5)
  child.kill('SIGTERM')
  const { code, talk } = await ended
  expect(code, talk).toBe(130)
  expect(talk).toContain(`go on with: parscale train --resume ${run}`)
  const { step } = (await records(run, 'metrics.jsonl')).at(-1)!
  expect(existsSync(join(checkpointFolder(run, step as number), 'complete'))).toBe(true)
  expect(existsSync(join(run, 'lock'))).toBe(false)

  expect(await start(run).ended).toMatchObject({ code: 0, talk: expect.stringContaining(`going on after step ${step}`) })
  expect(await outcome(run)).toEqual(await outcome(whole))
})

// Some containers forbid namespaces.
const canMount = spawnSync('unshare', ['-rm', 'mount', '-t', 'tmpfs', 'tmpfs', tmpdir()]).status === 0

it.runIf(canMount)('a full disk stops the run with what to do; with more room it goes on', async () => {
  const disk = await mkdtemp(join(scratch, 'disk-'))
  const script = `
    mount -t tmpfs -o size=1200k tmpfs "$0"
    node "$@" --out "$0/run" 2> "$0.talk"; code=$?
    ls -A "$0/run/checkpoints"
    mount -o remount,size=64m "$0"
    node "$1" train --resume "$0/run" --threads 1 2> "$0.more" && cp -r "$0/run" "$0.saved"
    echo "codes $code $?"`
  const args = ['train', ...recipe, '--checkpoint-every', '1', '--keep', '1000']
  const output = execFileSync('unshare', ['-rm', 'sh', '-c', script, disk, program, ...args], { env, encoding: 'utf8' })
  const talk = await readFile(`${disk}.talk`, 'utf8')
  const saved = output.match(/^step-\d{8}$/gm)!
  expect(talk).toContain(`${checkpointFolder(join(disk, 'run'), saved.length + 1)}: the disk is full; the checkpoint takes`)
  expect(output).not.toContain('.partial-')
  expect(output).toContain('codes 4 0')
  expect(await readFile(`${disk}.more`, 'utf8')).toContain(`going on after step ${saved.length}\n`)
  expect(await outcome(`${disk}.saved`)).toEqual(await outcome(whole))
})
