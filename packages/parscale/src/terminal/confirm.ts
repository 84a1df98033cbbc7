/** A question that somebody at the terminal answers with y or n. */
import process from 'node:process'
import { createInterface } from 'node:readline/promises'
import type { Io } from './io.ts'

/** True for "y" or "yes"; undefined where nobody can be asked. @throws the signal's reason when aborted */
export async function confirm(io: Io, question: string): Promise<boolean | undefined> {
  if (!io.isTTY.stderr || !process.stdin.isTTY) return undefined
  const lines = createInterface({ input: process.stdin, output: process.stderr })
  // readline reads Ctrl-C as a key; Ctrl-D closes it, and then there is no answer.
  const closed = new Promise<string>((resolve) => lines.once('close', () => resolve('n')))
  try {
    const answer = await Promise.race([lines.question(`${question} [y/N] `, { signal: io.signal }), closed])
    return /^y(es)?$/i.test(answer.trim())
  } finally {
    lines.close()
  }
}
