/**
 * The process streams as commands see them: data goes to stdout, talk goes to stderr, progress is drawn only where
 * somebody watches. Commands take an `Io` instead of touching `process`, so that tests can listen.
 */
import process from 'node:process'
import { isatty } from 'node:tty'
import { Interrupts } from './interrupts.ts'
import { createProgress, type Progress, silentProgress } from './progress.ts'
import { wrapLines } from './wrap.ts'

export { type Progress, silentProgress } from './progress.ts'

export interface Io {
  /** Writes data: what a pipe or a script wants to read. */
  stdout(text: string): void
  /** Writes talk: messages for the person in front of it. */
  stderr(text: string): void
  /** Talk that --quiet does not hide, since it was asked for. Absent: as stderr. */
  important?(text: string): void
  /** Talk for --verbose only. */
  detail?(text: string): void
  readonly isTTY: { stdout: boolean; stderr: boolean }
  /** Characters of a line of stdout where it is a terminal; else undefined, and lines are as long as they are. */
  readonly columns?: number | undefined
  /** Whether stdout takes ANSI colours. */
  readonly color: boolean
  readonly env: NodeJS.ProcessEnv
  /** Aborted by the first Ctrl-C or SIGTERM. */
  readonly signal: AbortSignal
  /** What aborts it; absent where no process listens. */
  readonly interrupts?: Pick<Interrupts, 'watch' | 'cutShort'>
  /**
   * Calls the listener on each SIGHUP, which then no longer ends the process; returns what stops that. Absent where a terminal is
   * in front: its closing is what that signal says.
   */
  onHangup?(listener: () => void): () => void
  /** Called by a command whose product is a file: it is finished even where nobody reads what it says. */
  finishWithoutReader?(): void
  /** Does work beside the command until that ends: then the signal is aborted. If the work fails, so does the command. */
  background?(work: (signal: AbortSignal) => Promise<void>): void
  /** A progress bar on stderr, or a silent one where stderr is no terminal. `unit` follows the numbers: `B`, `tokens`. */
  progress(label: string, unit?: string): Progress
}

/** Of one that could not write its data: 4, memory or disk (docs/cli.md). */
const lostDataExitCode = 4

/**
 * The Io of the running process. From here on the first SIGINT or SIGTERM only aborts `signal`, so that work can stop
 * at a clean point; the second one ends the process with exit code 130.
 */
export function createIo(): Io {
  const { stdout, stderr, env } = process
  const interrupts = new Interrupts()

  let finishes = false
  let lost = false
  stderr.on('error', () => {}) // talk that nobody hears ends nothing
  stdout.on('error', ({ code, message }: NodeJS.ErrnoException) => {
    // `parscale models | head` closes our output early: that is the reader's right and no failure of ours.
    if (code === 'EPIPE' && !finishes) process.exit(0)
    if (code === 'EPIPE' || lost) return
    lost = true
    stderr.write(`parscale: stdout cannot be written (${code ?? message}); free some space or write elsewhere\n`)
    if (!finishes) process.exit(lostDataExitCode)
    process.on('exit', () => {
      process.exitCode ||= lostDataExitCode
    })
  })

  // A bar that is drawn goes away before anything is written beside it, and comes again with its next update.
  let bar: Progress | undefined
  const isTTY = { stdout: stdout.isTTY === true, stderr: stderr.isTTY === true }
  return {
    stdout: (text) => {
      if (isTTY.stdout) bar?.hide?.()
      stdout.write(text)
    },
    stderr: (text) => {
      bar?.hide?.()
      stderr.write(isTTY.stderr ? wrapLines(text, stderr.columns || 80) : text)
    },
    isTTY,
    columns: isTTY.stdout ? stdout.columns || 80 : undefined,
    color: wantsColor(env, isTTY.stdout),
    env,
    signal: interrupts.signal,
    interrupts,
    ...(!isatty(0) && { onHangup }),
    finishWithoutReader: () => {
      finishes = true
    },
    progress: (label, unit) => {
      if (!isTTY.stderr) return silentProgress
      bar?.hide?.()
      bar = createProgress({ label, unit, write: (text) => stderr.write(text), columns: () => stderr.columns || 80 })
      return bar
    },
  }
}

function onHangup(listener: () => void): () => void {
  process.on('SIGHUP', listener)
  return () => process.off('SIGHUP', listener)
}

/** Writes a report, its sentences broken at words where stdout is a terminal. Tables fit already (text-table.ts). */
export const report = (io: Io, text: string): void => io.stdout(wrapLines(text, io.columns))

/** FORCE_COLOR beats NO_COLOR (as in Node itself), both beat the question whether stdout is a terminal. */
export function wantsColor(env: NodeJS.ProcessEnv, isTerminal: boolean): boolean {
  if (env.FORCE_COLOR !== undefined) return env.FORCE_COLOR !== '0' && env.FORCE_COLOR !== 'false'
  if (env.NO_COLOR) return false
  return isTerminal && env.TERM !== 'dumb'
}

/**
 * What a model says is not to be trusted with a terminal, where it could move the cursor or set the title: control characters other than tab and newline become their visible pictures (U+2400 and on); in a pipe, nothing
 * changes.
 */
export function forTerminal(text: string, io: Io): string {
  if (!io.isTTY.stdout) return text
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what this is about
  return text.replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g, (c) => {
    const code = c.charCodeAt(0)
    return code < 0x20 ? String.fromCharCode(0x2400 + code) : code === 0x7f ? '\u2421' : '\ufffd'
  })
}
