/** Clocks that differ by thirty years between two commands: a preloaded library moves what the system says. Linux, with a C compiler. */
import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { shippedModel } from './find-model.ts'

const program = fileURLToPath(new URL('../../bin/parscale.js', import.meta.url))
const canCompile = process.platform === 'linux' && spawnSync('cc', ['--version'], { stdio: 'ignore' }).status === 0
const source = `
  #define _GNU_SOURCE
  #include <dlfcn.h>
  #include <stdlib.h>
  #include <sys/time.h>
  #include <time.h>
  static long shift(void) { return atol(getenv("CLOCK_SHIFT")); }
  int clock_gettime(clockid_t id, struct timespec* t) {
    int error = ((int (*)(clockid_t, struct timespec*))dlsym(RTLD_NEXT, "clock_gettime"))(id, t);
    if (!error && id == CLOCK_REALTIME) t->tv_sec += shift();
    return error;
  }
  int gettimeofday(struct timeval* t, void* zone) {
    int error = ((int (*)(struct timeval*, void*))dlsym(RTLD_NEXT, "gettimeofday"))(t, zone);
    if (!error) t->tv_sec += shift();
    return error;
  }`

let folder: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'parscale-clocks-'))
  writeFileSync(join(folder, 'clock.c'), source)
  if (canCompile) execFileSync('cc', ['-shared', '-fPIC', '-o', join(folder, 'clock.so'), join(folder, 'clock.c'), '-ldl'])
  writeFileSync(join(folder, 'text.txt'), Array.from({ length: 400 }, (_, i) => `Text ${i} of no great length.`).join('\n\n'))
})
afterAll(() => rmSync(folder, { recursive: true }))

const shifts = [1e9, -1e9]
const env = (seconds: number) => ({
  ...process.env,
  PARSCALE_CACHE: join(folder, 'cache'),
  LD_PRELOAD: join(folder, 'clock.so'),
  CLOCK_SHIFT: String(seconds),
})
function run(seconds: number, ...args: string[]): string {
  const { status, stdout, stderr } = spawnSync(process.execPath, [program, ...args], { env: env(seconds), encoding: 'utf8' })
  expect(stderr, stderr).not.toContain('waiting')
  expect(status, stderr).toBe(0)
  return stdout
}

describe.runIf(canCompile)('a clock that was moved', () => {
  it('moves for a command', () => {
    const years = shifts.map((shift) =>
      execFileSync(process.execPath, ['-p', 'new Date().getFullYear()'], { env: env(shift), encoding: 'utf8' }),
    )
    expect(Number(years[0]) - Number(years[1])).toBeGreaterThan(60)
  })

  it('what is in the cache is used, and counts as whole', () => {
    const texts = [0, ...shifts, 0].map((shift) => {
      const text = run(
        shift,
        'generate',
        '--bits',
        '8',
        '--engine',
        'native',
        '--prompt',
        'x',
        '--max-tokens',
        '4',
        '--temperature',
        '0',
      )
      expect(run(shift, 'cache', 'verify')).toMatch(/^packed\/backbone-\S+ +whole$/m)
      return text
    })
    expect(new Set(texts).size).toBe(1)
    expect(readdirSync(join(folder, 'cache')).filter((name) => name.includes('partial'))).toEqual([])
  })

  it.each(shifts)('a run that was killed goes on at once with a clock that was moved (first by %d s)', async (shift) => {
    const out = join(folder, `run${shift}`)
    const data = ['--data', join(folder, 'text.txt'), '--separator', '\\n\\n', '--batch-size', '2', '--sequence-length', '16']
    const steps = ['--steps', '60', '--checkpoint-every', '2', '--p', '2']
    const kill = async () => {
      const child = spawn(
        process.execPath,
        [program, 'train', 'recycle', '--out', out, '--model', shippedModel, ...data, ...steps],
        { env: env(shift), stdio: ['ignore', 'ignore', 'inherit'] },
      )
      const ended = once(child, 'exit')
      const hasCheckpoint = () => readdirSync(folder, { recursive: true }).some((name) => /^run.*step/.test(String(name)))
      while (!hasCheckpoint() && child.exitCode === null) await new Promise((resolve) => setTimeout(resolve, 5))
      child.kill('SIGKILL')
      await ended
      return child.signalCode
    }
    let killed = await kill()
    // A fast machine may be done before: then once more.
    for (let tries = 0; tries < 20 && killed === null; tries++) {
      rmSync(out, { recursive: true })
      killed = await kill()
    }
    expect(killed).toBe('SIGKILL')
    run(-shift, 'train', '--resume', out)
    expect(readdirSync(out).filter((name) => /partial|lock/.test(name))).toEqual([])
    rmSync(out, { recursive: true })
  })
})
