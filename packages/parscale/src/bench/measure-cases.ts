/**
 * Takes the turns: every case once a round, in a process of its own, so that what disturbs the machine for a while hits all
 * cases alike and a peak of memory is one case's. Every other round goes backwards, for what drifts.
 */
import { readFile } from 'node:fs/promises'
import { usageError } from '@parscale/core/internal'
import { parseJsonText } from '@parscale/core/internal/checkpoint'
import { appendToFile } from '@parscale/core/internal/node'
import { formatSeconds } from '../terminal/progress.ts'
import { type Case, caseName, jobOf } from './cases.ts'
import { runInChild } from './child.ts'
import type { Turn } from './job.ts'

export interface MeasureOptions {
  readonly rounds: number
  readonly signal: AbortSignal
  /** File of turns, a JSON object a line: those in it are not taken again, new ones are added. */
  readonly resume: string | undefined
  /** The product's. */
  readonly cacheDirectory: string
  readonly onTurn: (line: string) => void
}

/** @returns the turns of each case, in the order of the cases */
export async function measureCases(cases: readonly Case[], options: MeasureOptions): Promise<Turn[][]> {
  const { rounds, signal, resume, cacheDirectory, onTurn } = options
  const known = resume === undefined ? new Map<string, Turn>() : await readTurns(resume)
  const turns: Turn[][] = cases.map(() => [])
  const [total, started] = [rounds * cases.length, performance.now()]
  let [done, taken] = [0, 0]
  for (let round = 0; round < rounds; round++) {
    const order = cases.map((_, i) => (round % 2 === 0 ? i : cases.length - 1 - i))
    for (const i of order) {
      const one = cases[i]!
      const key = JSON.stringify({ ...turnKey(one), round })
      let turn = known.get(key)
      if (turn === undefined) {
        turn = await runInChild(jobOf(one, cacheDirectory), signal)
        taken++
        if (resume !== undefined) await appendToFile(resume, `${JSON.stringify({ key, turn })}\n`, resumeAdvice)
      }
      turns[i]!.push(turn)
      const left = ((performance.now() - started) / Math.max(taken, 1) / 1000) * (total - ++done)
      onTurn(
        `${done}/${total}  ${caseName(one)}: ${turnText(one, turn)}${done < total && taken > 0 ? `, ${formatSeconds(left)} left` : ''}`,
      )
    }
  }
  return turns
}

const resumeAdvice = { full: 'free some space and run the command again', denied: 'choose another file', flag: 'resume' }

/** Of where weights are packed a turn's figures do not say. */
const turnKey = ({ model, inMemory: _, ...rest }: Case) => ({ ...rest, model: model.name, bits: model.bits })

function turnText({ prompt, batch }: Case, { stepMs, prefillMs, loadMs, peakMemoryBytes }: Turn): string {
  const step = stepMs.toSorted((a, b) => a - b)[stepMs.length >> 1]!
  const rate = (batch * prompt * 1000) / prefillMs
  return `${step.toFixed(1)} ms a token, prefill ${rate.toFixed(0)} tokens/s, loaded in ${(loadMs / 1000).toFixed(1)} s, peak ${(peakMemoryBytes / 1e9).toFixed(2)} GB`
}

async function readTurns(file: string): Promise<Map<string, Turn>> {
  const text = await readFile(file, 'utf8').catch((cause: NodeJS.ErrnoException) => {
    if (cause.code === 'ENOENT') return ''
    throw usageError(`--resume: ${file} cannot be read (${cause.code})`, { flag: 'resume', file, cause })
  })
  const turns = new Map<string, Turn>()
  for (const [i, line] of text.split('\n').entries()) {
    const written = parsedLine(line, `${file}, line ${i + 1}`)
    if (!written) continue
    if (!isTurn(written.value))
      throw usageError(`--resume: ${file}, line ${i + 1}, is no turn of a bench; name the file that a bench wrote`, {
        flag: 'resume',
        file,
      })
    turns.set(written.value.key, written.value.turn)
  }
  return turns
}

/** Undefined for a line that a killed run did not finish: its turn is measured again. */
function parsedLine(line: string, where: string): { readonly value: unknown } | undefined {
  try {
    return { value: parseJsonText(line, where) }
  } catch {
    return undefined
  }
}

function isTurn(value: unknown): value is { readonly key: string; readonly turn: Turn } {
  const { key, turn } = (value ?? {}) as { key?: unknown; turn?: Partial<Record<keyof Turn, unknown>> }
  const isNumber = (number: unknown) => typeof number === 'number' && number >= 0
  const { stepMs, loadMs, prefillMs, peakMemoryBytes, cacheBytes } = turn ?? {}
  const hasSteps = Array.isArray(stepMs) && stepMs.length > 0 && stepMs.every(isNumber)
  return typeof key === 'string' && hasSteps && [loadMs, prefillMs, peakMemoryBytes, cacheBytes].every(isNumber)
}
