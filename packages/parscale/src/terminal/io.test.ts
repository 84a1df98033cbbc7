import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { forTerminal, type Io, wantsColor } from './io.ts'

/** A process of its own that uses createIo, since signals and closed pipes belong to processes. */
function runWithIo(body: string) {
  const ioPath = fileURLToPath(new URL('./io.ts', import.meta.url))
  const script = `import { createIo } from ${JSON.stringify(ioPath)}; const io = createIo(); ${body}`
  return spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', script], { stdio: 'pipe' })
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

test('no terminal: progress is silent, talk and data keep apart, no colour', async () => {
  const child = runWithIo(`
    const progress = io.progress('pull', 'B'); progress.update(1, 2); progress.end('done')
    io.stderr('talk'); io.stdout(JSON.stringify({ isTTY: io.isTTY, color: io.color }))`)
  const text = { stdout: '', stderr: '' }
  for (const name of ['stdout', 'stderr'] as const) child[name].on('data', (chunk) => (text[name] += String(chunk)))
  await once(child, 'close')
  expect(text.stderr).toBe('talk')
  expect(JSON.parse(text.stdout)).toEqual({ isTTY: { stdout: false, stderr: false }, color: false })
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
