/** Samples judged, several at a time, each in a sandbox of its own. What comes out has the order of what goes in. */
import { availableParallelism } from 'node:os'
import { runtimeError, usageError } from '@parscale/core/internal'
import { type JudgedSample, type Problem, problemOf, programOf, type Sample } from '@parscale/core/internal/evaluation'
import { checkModules } from './check-modules.ts'
import { type Limits, limitsOf } from './limits.ts'
import { probeSandbox } from './probe.ts'
import { findPython } from './python.ts'
import { runProgram } from './run-program.ts'

export interface JudgeOptions {
  /** The caller's word that programs of a model may run here. */
  readonly allowCode: boolean
  /** Default: 3 s of CPU time, 1 GiB. */
  readonly limits?: Limits
  /** Sandboxes at a time. Default: as many as the machine has cores. */
  readonly workers?: number | undefined
  /** Path or name of an interpreter. Default: the system's. */
  readonly python?: string | undefined
  readonly signal?: AbortSignal | undefined
}

/** So many per worker may be done ahead of one that takes its time. */
const ahead = 16

/**
 * Looks first whether the sandbox holds, with programs that try to get out.
 *
 * @param problems by task id
 * @returns each sample with its verdict, in the order of `samples`, which are asked for as they are needed
 * @throws usage error without `allowCode`, for a sample of no problem, or for checks that import what the interpreter does not have; unsupported error with the reason where the sandbox does not
 *   hold, runtime error where it ceases to
 */
export async function* judgeSamples(
  problems: ReadonlyMap<string, Problem>,
  samples: AsyncIterable<Sample> | Iterable<Sample>,
  { allowCode, limits = limitsOf(), workers = availableParallelism(), python: asked, signal }: JudgeOptions,
): AsyncGenerator<JudgedSample> {
  if (!allowCode)
    throw usageError(
      'these are programs that a model wrote, and judging runs them, in a sandbox; give --allow-code where that may be',
      { flag: 'allow-code' },
    )
  const python = await findPython(asked)
  await checkModules(python, problems.values())
  await probeSandbox(python, limits, signal)
  // Whoever stops asking ends the programs that run.
  const stop = new AbortController()
  const either = signal ? AbortSignal.any([signal, stop.signal]) : stop.signal
  const free = semaphore(workers)
  const pending: Promise<JudgedSample>[] = []
  const judged = async (sample: Sample): Promise<JudgedSample> => {
    try {
      const judgement = await runProgram(programOf(problemOf(problems, sample.taskId), sample), {
        python,
        limits,
        signal: either,
      })
      if (judgement.verdict === 'refused') throw runtimeError(`${sample.taskId}: the sandbox held no longer: ${judgement.result}`)
      return { sample, judgement }
    } finally {
      free.release()
    }
  }
  try {
    for await (const sample of samples) {
      await free.acquire()
      const work = judged(sample)
      work.catch(() => {}) // it is seen in its turn
      pending.push(work)
      while (pending.length > ahead * workers || (pending.length > 0 && (await isSettled(pending[0]!))))
        yield await pending.shift()!
    }
    while (pending.length > 0) yield await pending.shift()!
  } finally {
    stop.abort()
    await Promise.allSettled(pending)
  }
}

const isSettled = (work: Promise<unknown>): Promise<boolean> => {
  const no = Symbol()
  return Promise.race([work, Promise.resolve(no)]).then(
    (value) => value !== no,
    () => true,
  )
}

function semaphore(most: number) {
  let left = most
  const waiting: (() => void)[] = []
  return {
    acquire: async (): Promise<void> => {
      if (left > 0) left--
      else await new Promise<void>((resolve) => waiting.push(resolve))
    },
    release: (): void => {
      const next = waiting.shift()
      if (next) next()
      else left++
    },
  }
}
