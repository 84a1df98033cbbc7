import { type ChildProcessWithoutNullStreams, type StdioOptions, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync } from 'node:fs'
import type { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { forTerminal, type Io, wantsColor } from './io.ts'

/** A process of its own that uses createIo, since signals and closed pipes belong to processes. */
function runWithIo(body: string, stdio: StdioOptions = ['pipe', 'pipe', 'pipe', 'pipe']) {
  const ioPath = fileURLToPath(new URL('./io.ts', import.meta.url))
  const script = `import { createIo } from ${JSON.stringify(ioPath)}; const io = createIo(); ${body}`
  return spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', script], {
    stdio,
  }) as ChildProcessWithoutNullStreams
}

test('the first signal aborts, the second one exits with 130', async () => {
  const child = runWithIo(`
    io.signal.addEventListener('abort', () => io.stdout('aborted'))
    setInterval(() => {}, 1000)
    io.stdout('ready')`)
  expect(String((await once(child.stdout, 'data'))[0])).toBe('ready')
  child.kill('SIGINT')
  expect(String((await once(child.stdout, 'data'))[0])).toBe('aborted')
  expect(child.exitCode).toBeNull()
  child.kill('SIGTERM')
  expect((await once(child, 'exit'))[0]).toBe(130)
})

test('a reader that closes the pipe is no failure', async () => {
  const child = runWithIo(`setInterval(() => io.stdout('line\\n'.repeat(10000)), 1)`)
  await once(child.stdout, 'data')
  child.stdout.destroy()
  expect((await once(child, 'exit'))[0]).toBe(0)
})

test('a command whose product is a file goes on without a reader of its output, or of its messages', async () => {
  const child = runWithIo(`
    io.finishWithoutReader()
    const { writeFileSync } = await import('node:fs'); process.on('exit', () => writeFileSync(3, 'finished'))
    let rounds = 0
    const timer = setInterval(() => {
      for (const write of [io.stdout, io.stderr]) write('line\\n'.repeat(10000))
      if (++rounds === 20) clearInterval(timer)
    }, 1)`)
  for (const name of ['stdout', 'stderr'] as const) {
    await once(child[name], 'data')
    child[name].destroy()
  }
  const [finished] = await Promise.all([text(child.stdio[3] as Readable), once(child, 'exit')])
  expect([finished, child.exitCode]).toEqual(['finished', 0])
})

test('a reader of messages that leaves ends nothing', async () => {
  const child = runWithIo(`
    for (let i = 0; i < 20; i++) setTimeout(() => io.stderr('talk\\n'.repeat(10000)), i)
    setTimeout(() => io.stdout('data'), 40)`)
  await once(child.stderr, 'data')
  child.stderr.destroy()
  const [data] = await Promise.all([text(child.stdout), once(child, 'exit')])
  expect([data, child.exitCode]).toEqual(['data', 0])
})

// Linux' /dev/full is a disk without room: each write to it fails with ENOSPC.
test.runIf(process.platform === 'linux')('a full disk behind stdout is one line and exit code 4', async () => {
  const line = 'parscale: stdout cannot be written (ENOSPC); free some space or write elsewhere\n'
  const full = openSync('/dev/full', 'w')
  const ended = async (body: string, stderr: 'pipe' | number = 'pipe') => {
    const child = runWithIo(body, ['pipe', full, stderr])
    const [talk] = await Promise.all([child.stderr ? text(child.stderr) : undefined, once(child, 'exit')])
    return [talk, child.exitCode]
  }
  expect(await ended(`setInterval(() => io.stdout('data'), 1)`)).toEqual([line, 4])
  expect(await ended(`setInterval(() => io.stdout('data'), 1)`, full)).toEqual([undefined, 4])
  const finishing = (code: number) => `io.finishWithoutReader(); process.exitCode = ${code}
    for (let i = 0; i < 9; i++) setTimeout(() => io.stdout('data'), i)
    setTimeout(() => io.stderr('finished'), 20)`
  expect(await ended(finishing(0))).toEqual([`${line}finished`, 4])
  expect(await ended(finishing(3))).toEqual([`${line}finished`, 3])
  closeSync(full)
})

test('no terminal: progress is silent, talk and data keep apart, no colour', async () => {
  const child = runWithIo(`
    const progress = io.progress('pull', 'B'); progress.update(1, 2); progress.end('done')
    io.stderr('talk'); io.stdout(JSON.stringify({ isTTY: io.isTTY, color: io.color }))`)
  const written = { stdout: '', stderr: '' }
  for (const name of ['stdout', 'stderr'] as const) child[name].on('data', (chunk) => (written[name] += String(chunk)))
  await once(child, 'close')
  expect(written.stderr).toBe('talk')
  expect(JSON.parse(written.stdout)).toEqual({ isTTY: { stdout: false, stderr: false }, color: false })
})

test('NO_COLOR and FORCE_COLOR', () => {
  expect(wantsColor({}, true)).toBe(true)
  expect(wantsColor({}, false)).toBe(false)
  expect(wantsColor({ NO_COLOR: '1' }, true)).toBe(false)
  expect(wantsColor({ NO_COLOR: '' }, true)).toBe(true)
  expect(wantsColor({ FORCE_COLOR: '1' }, false)).toBe(true)
  expect(wantsColor({ FORCE_COLOR: '0' }, true)).toBe(false)
  expect(wantsColor({ TERM: 'dumb' }, true)).toBe(false)
})

const onTerminal = (terminal: boolean) => ({ isTTY: { stdout: terminal, stderr: false } }) as Io

test('shows control characters on a terminal and lets text, tabs, newlines and colours of scripts be', () => {
  expect(forTerminal('a\u001b]0;title\u0007\tb\nZürich 🎉\u007f\u009b2J\r', onTerminal(true))).toBe(
    'a␛]0;title␇\tb\nZürich 🎉␡\ufffd2J␍',
  )
})

test('changes nothing in a pipe', () => {
  expect(forTerminal('a\u001b[2J', onTerminal(false))).toBe('a\u001b[2J')
})
