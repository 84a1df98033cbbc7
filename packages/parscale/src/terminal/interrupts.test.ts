import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { nativeModule } from '@parscale/native'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { run } from '../cli.ts'
import { deliver } from '../testing/deliver.ts'
import type { Io } from './io.ts'

let folder: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'parscale-interrupts-'))
})
afterAll(() => rmSync(folder, { recursive: true }))

const hasNative = 'module' in nativeModule()

const ioPath = fileURLToPath(new URL('./io.ts', import.meta.url))
const nodeArguments = (body: string) => [
  ...['--conditions=source', '--import', 'tsx', '--input-type=module', '-e'],
  `import { createIo } from ${JSON.stringify(ioPath)}; const io = createIo(); await io.interrupts.watch(); ${body}`,
]

/** A process that listens for signals, and has said so. */
async function listening(body: string) {
  const child = spawn(process.execPath, nodeArguments(body), { stdio: 'pipe' })
  await once(child.stdout, 'data')
  return { child, ended: once(child, 'close').then(([code]) => code as number | null) }
}

describe.runIf(hasNative)('a process that never comes back to its event loop', () => {
  // A regular expression that needs 2^40 steps: V8 does not look at signals in it either.
  const blocked = `setTimeout(() => (process.stdout.write('up'), /^(a+)+$/.test('a'.repeat(40) + '!')), 50)`

  it.each([
    ['SIGINT', 'SIGINT'],
    ['SIGTERM', 'SIGTERM'],
    ['SIGINT', 'SIGTERM'],
  ] as const)('ends at %s and %s', async (first, second) => {
    const { child, ended } = await listening(blocked)
    await deliver(child.pid!, first)
    await sleep(300)
    expect([child.exitCode, child.signalCode]).toEqual([null, null])
    child.kill(second)
    expect(await ended).toBe(130)
  })

  it('takes the same signal within milliseconds for one that a launcher has passed on', async () => {
    for (let tries = 0; ; tries++) {
      expect(tries).toBeLessThan(50)
      const { child, ended } = await listening(blocked)
      const began = performance.now()
      for (let i = 0; i < 2; i++) await deliver(child.pid!, 'SIGINT')
      // On a busy machine they may come too far apart to be one: then once more.
      if (performance.now() - began > 50) {
        child.kill('SIGKILL')
        await ended
        continue
      }
      await sleep(300)
      expect([child.exitCode, child.signalCode]).toEqual([null, null])
      child.kill('SIGINT')
      expect(await ended).toBe(130)
      break
    }
  })

  it('takes it for that also when what it stopped is over by then', async () => {
    const body = `
      const timer = setInterval(() => {}, 1000)
      const heard = []
      process.on('SIGINT', () => heard.push(performance.now()))
      for (let i = 0; i < 2; i++) {
        let over
        const cut = io.interrupts.cutShort(() => over(), () => new Promise((done) => (over = done)))
        process.stdout.write('up\\n')
        await cut
        while (heard.length < 2 * (i + 1)) await new Promise((done) => setTimeout(done, 1))
        await new Promise((done) => setTimeout(done, 200))
      }
      clearInterval(timer)
      process.stdout.write('apart ' + Math.max(heard[1] - heard[0], heard[3] - heard[2]))
      process.exitCode = io.signal.aborted ? 1 : 0`
    for (let tries = 0; ; tries++) {
      expect(tries).toBeLessThan(20)
      const { child, ended } = await listening(body)
      let said = ''
      child.stdout.on('data', (text) => (said += text))
      for (let turn = 0; turn < 2; turn++) {
        // The first of them was heard by `listening`.
        while (turn > 0 && !said.includes('up') && child.exitCode === null) await sleep(5)
        await deliver(child.pid!, 'SIGINT')
        await sleep(20)
        if (child.exitCode === null) child.kill('SIGINT')
      }
      const code = await ended
      // Heard too far apart to be one, on a busy machine: then once more.
      if (Number(/apart (.*)/.exec(said)?.[1] ?? 1e9) > 90) continue
      expect(code).toBe(0)
      break
    }
  })

  it.runIf(process.platform === 'linux' && existsSync('/usr/bin/script'))('leaves its terminal as it found it', async () => {
    const pidPath = join(folder, 'pid')
    const body = `import { writeFileSync } from 'node:fs'; process.stdin.setRawMode(true); writeFileSync(${JSON.stringify(pidPath)}, String(process.pid)); for (;;);`
    const quoted = [process.execPath, ...nodeArguments(body)].map((one) => `'${one.replaceAll("'", `'\\''`)}'`).join(' ')
    const terminal = spawn('/usr/bin/script', ['-qec', `stty sane; ${quoted}; echo "code $?"; stty -a`, '/dev/null'], {
      stdio: ['pipe', 'pipe', 'inherit'],
    })
    let shown = ''
    terminal.stdout.on('data', (data) => (shown += data))
    const ended = once(terminal, 'close')
    while (!existsSync(pidPath) || readFileSync(pidPath, 'utf8') === '') await sleep(20)
    const pid = Number(readFileSync(pidPath, 'utf8'))
    await deliver(pid, 'SIGINT')
    await sleep(300)
    process.kill(pid, 'SIGINT')
    await ended
    expect(shown).toContain('code 130')
    for (const setting of ['isig', 'icanon', 'echo']) expect(shown).toMatch(new RegExp(`[^-]\\b${setting}\\b`))
    expect(shown).not.toMatch(/-(isig|icanon|echo)\b/)
  })
})

it('a command that can be cut short goes on after one Ctrl-C, and another time too; two end it', async () => {
  const { child, ended } = await listening(`
    io.signal.addEventListener('abort', () => process.stdout.write('aborted'))
    process.stdout.write('up')
    for (let i = 0; i < 3; i++) {
      let goOn
      const timer = setInterval(() => {}, 1000)
      const stop = () => { process.stdout.write('cut ' + i); if (i < 2) goOn() }
      await io.interrupts.cutShort(stop, () => new Promise((resolve) => { goOn = resolve }))
      clearInterval(timer)
    }`)
  for (let i = 0; i < 3; i++) {
    child.kill('SIGINT')
    expect(String((await once(child.stdout, 'data'))[0])).toBe(`cut ${i}`)
    await sleep(150) // as nobody presses faster
  }
  await sleep(300)
  child.kill('SIGINT')
  expect(await ended).toBe(130)
})

it('SIGTERM asks the whole command to end, also where an answer could be cut short', async () => {
  const { child, ended } = await listening(`
    io.signal.addEventListener('abort', () => process.exit(7))
    process.stdout.write('up')
    await io.interrupts.cutShort(() => process.exit(8), () => new Promise((resolve) => setTimeout(resolve, 60000)))`)
  child.kill('SIGTERM')
  expect(await ended).toBe(7)
})

it('only what runs a command loads the native module for it', async () => {
  const watched: string[][] = []
  const runWatched = async (...args: string[]) => {
    const io = {
      ...{ stdout: () => {}, stderr: () => {}, env: {}, isTTY: { stdout: false, stderr: false }, color: false },
      signal: new AbortController().signal,
      progress: () => ({ update: () => {}, end: () => {} }),
      interrupts: { watch: async () => void watched.push(args), cutShort: (_: () => void, work: () => Promise<never>) => work() },
    } satisfies Io
    await run(['node', 'parscale', ...args], io)
  }
  for (const args of [['--version'], ['--help'], ['fit', '--help'], ['fit', '--no-such-option']]) await runWatched(...args)
  expect(watched).toEqual([])
  await runWatched('fit', 'no-such-file')
  expect(watched).toEqual([['fit', 'no-such-file']])
})

it('a library that is imported listens to no signal', () => {
  const script = `await import('parscale'); console.log(process.listenerCount('SIGINT') + process.listenerCount('SIGTERM'))`
  const { stdout } = spawnSync(
    process.execPath,
    ['--conditions=source', '--import', 'tsx', '--input-type=module', '-e', script],
    {
      cwd: fileURLToPath(new URL('.', import.meta.url)),
      encoding: 'utf8',
    },
  )
  expect(stdout.trim()).toBe('0')
})
