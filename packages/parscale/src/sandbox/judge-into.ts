/** Samples judged into a file of results, behind those that stand there: what was judged before is not judged again. */
import { usageError } from '@parscale/core/internal'
import type { Problem, Sample, Verdict } from '@parscale/core/internal/evaluation'
import { type JudgeOptions, judgeSamples } from './judge-samples.ts'
import { openResults } from './results-file.ts'

export interface JudgeFiles {
  /** What the samples are from, for errors. */
  readonly from: string
  /** Where results go; nowhere where there is none. */
  readonly out: string | undefined
}

/**
 * @returns each sample with its verdict, in the order of `samples`
 * @throws as judgeSamples, and usage error where the results are of other samples
 */
export async function* judgeInto(
  problems: ReadonlyMap<string, Problem>,
  samples: AsyncIterable<Sample> | Iterable<Sample>,
  { from, out }: JudgeFiles,
  options: JudgeOptions,
): AsyncGenerator<{ readonly sample: Sample; readonly verdict: Verdict }> {
  const rest = each(samples)
  const results = out !== undefined && options.allowCode ? await openResults(out) : undefined
  try {
    let line = 0
    for (const earlier of results?.earlier ?? []) {
      line++
      const { value: sample, done: over } = await rest.next()
      if (over || !earlier.isOf(sample))
        throw usageError(`${out}, line ${line}: is no result of line ${line} of ${from}; name another file with --out`, {
          flag: 'resume',
        })
      yield { sample, verdict: earlier.verdict }
    }
    for await (const { sample, judgement } of judgeSamples(problems, rest, options)) {
      await results?.append(sample, judgement)
      yield { sample, verdict: judgement.verdict }
    }
  } finally {
    await results?.close()
  }
}

async function* each(samples: AsyncIterable<Sample> | Iterable<Sample>): AsyncGenerator<Sample> {
  yield* samples
}
