/**
 * Samples judged in a page: program and checks each in a Python of their own (Pyodide), in workers of a frame that has no network, no
 * storage and nobody's origin. A worker can be ended, whatever its program does.
 */
import { runtimeError, unsupportedError, usageError } from '../../errors.ts'
import { type JudgedSample, type Judgement, type Problem, problemOf, programOf, type Sample } from '../../evaluation/index.ts'
import { openFrame } from './frame.ts'
import { probeFrame } from './probe.ts'

/** What programs may take, and where their Python comes from. */
export interface BrowserJudgeOptions {
  /** The caller's word that programs of a model may run here. */
  readonly allowCode: boolean
  /** Where the files of npm's `pyodide` are served: pyodide.mjs, pyodide.asm.mjs, pyodide.asm.wasm, pyodide-lock.json, python_stdlib.zip. */
  readonly runtimeFiles: string
  /** By the clock, for a program and its checks; loading Python does not count. Default: 9. */
  readonly seconds?: number
  /** Of Python's memory, each of the two. Default: 512 MiB. */
  readonly memoryBytes?: number
  readonly signal?: AbortSignal | undefined
}

/**
 * Judges programs that a model wrote, in a page: by Pyodide in workers of a frame without network.
 *
 * Looks first whether the frame holds, with programs that try to get out. Samples are judged one after the other.
 *
 * @param problems by task id
 * @returns each sample with its verdict, in the order of `samples`, which are asked for as they are needed
 * @throws usage error without `allowCode`, or for a sample of no problem; unsupported error with the reason where this is no page, the
 *   browser lacks something, or the frame does not hold; runtime error where it ceases to; the signal's reason
 */
export async function* judgeInBrowser(
  problems: ReadonlyMap<string, Problem>,
  samples: AsyncIterable<Sample> | Iterable<Sample>,
  { allowCode, runtimeFiles, seconds = 9, memoryBytes = 2 ** 29, signal }: BrowserJudgeOptions,
): AsyncGenerator<JudgedSample> {
  if (!allowCode)
    throw usageError(
      'these are programs that a model wrote, and judging runs them, in a sandbox; set allowCode where that may be',
    )
  if (!('document' in globalThis))
    throw unsupportedError('judgeInBrowser needs a page; in Node there is `parscale judge`, and a worker has no frames')
  if (!('Suspending' in WebAssembly))
    throw unsupportedError(
      'this browser cannot let Python wait (JSPI is missing; Chrome and Edge have it since 137); nothing was run',
    )
  const frame = await openFrame(runtimeFiles, signal)
  try {
    await probeFrame(frame, memoryBytes)
    for await (const sample of samples) {
      const judgement = await frame.run(programOf(problemOf(problems, sample.taskId), sample), {
        seconds,
        memoryBytes,
        next: true,
      })
      if (judgement.verdict === 'refused') throw refused(sample.taskId, judgement)
      yield { sample, judgement }
    }
  } finally {
    frame.close()
  }
}

const refused = (taskId: string, { result }: Judgement): Error => runtimeError(`${taskId}: nothing can be judged: ${result}`)
