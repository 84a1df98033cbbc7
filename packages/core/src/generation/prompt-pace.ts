/**
 * How much of prompts a step takes in beside those that generate: so much that it takes at most `slowdown` times as long as one without.
 * Learnt from the steps themselves, for it depends on the machine, the model, and who generates.
 */
import { spreadOf } from '../spread.ts'

/** A step that is over. */
export interface PacedStep {
  /** Rows of those that generate. */
  readonly generating: number
  /** Row-tokens of prompts. */
  readonly prompts: number
  readonly ms: number
}

/** Steps without prompts in which so many rows generated. */
interface Alone {
  /** Milliseconds of the last of them. */
  readonly times: readonly number[]
  /** Number of the last of them. */
  readonly step: number
  /** Steps with prompts that were held against them since. */
  since: number
}

const [first, measured, stepsUntilMeasured] = [16, 5, 16]
/** Texts grow, and others use the machine: what was measured so many steps ago is measured again. */
const stepsUntilForgotten = 512

export class PromptPace {
  readonly #slowdown: number
  readonly #most: number
  #tokens: number
  #step = 0
  /** By rows: where these change all the time, each number of them is measured once, and prompts go on. */
  readonly #alone = new Map<number, Alone>()
  /** Milliseconds that a row-token of a prompt made each of the last steps with prompts longer. */
  #costs: number[] = []

  /** @param slowdown more than 1; Infinity: `most` always @param most row-tokens of prompts in a step */
  constructor(slowdown: number, most: number) {
    this.#slowdown = slowdown
    this.#most = most
    this.#tokens = slowdown === Infinity ? most : Math.min(first, most)
  }

  /** Row-tokens of prompts that the next step may take in beside so many rows that generate; 0: a step without is to be measured. */
  tokens(generating: number): number {
    if (this.#slowdown === Infinity) return this.#most
    const alone = this.#near(generating)
    return alone && alone.since < stepsUntilMeasured ? this.#tokens : 0
  }

  note({ generating, prompts, ms }: PacedStep): void {
    if (generating === 0) return
    const step = ++this.#step
    if (prompts === 0) {
      const known = this.#alone.get(generating)
      const times = known && this.#isFresh(known) ? known.times : []
      this.#alone.set(generating, { times: [...times, ms].slice(-measured), step, since: 0 })
      return
    }
    const near = this.#near(generating)
    if (!near) return
    near.since++
    const alone = spreadOf(near.times).median
    this.#costs = [...this.#costs, (ms - alone) / prompts].slice(-measured)
    // Medians and small steps: a machine that others use now and then stops for a while.
    const fitting = ((this.#slowdown - 1) * alone) / Math.max(spreadOf(this.#costs).median, Number.MIN_VALUE)
    // One that was not full tells nothing of fuller ones.
    const more = prompts < 0.9 * this.#tokens ? this.#tokens : this.#tokens + Math.max(1, this.#tokens >> 3)
    const next = Math.max(1, Math.floor(this.#tokens * 0.75), Math.floor(Math.min(fitting, more)))
    this.#tokens = Math.min(this.#most, next)
  }

  /** The steps alone of about as many rows: at most a quarter more or fewer. */
  #near(generating: number): Alone | undefined {
    let [nearest, distance] = [undefined as Alone | undefined, generating / 4]
    for (const [rows, alone] of this.#alone) {
      const theirs = Math.abs(rows - generating)
      if (theirs <= distance && this.#isFresh(alone)) [nearest, distance] = [alone, theirs]
    }
    return nearest
  }

  #isFresh({ step }: Alone): boolean {
    return this.#step - step <= stepsUntilForgotten
  }
}
