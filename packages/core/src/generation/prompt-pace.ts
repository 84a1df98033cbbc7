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

const [first, measured, stepsUntilMeasured] = [16, 5, 16]

export class PromptPace {
  readonly #slowdown: number
  readonly #most: number
  #tokens: number
  /** Times of the last steps without prompts, in which so many rows generated. */
  #alone: number[] = []
  #rows = 0
  /** Milliseconds that a row-token of a prompt made each of the last steps with prompts longer. */
  #costs: number[] = []
  /** Steps with prompts since the last one without. */
  #since = 0

  /** @param slowdown more than 1; Infinity: `most` always @param most row-tokens of prompts in a step */
  constructor(slowdown: number, most: number) {
    this.#slowdown = slowdown
    this.#most = most
    this.#tokens = slowdown === Infinity ? most : Math.min(first, most)
  }

  /** Row-tokens of prompts that the next step may take in beside so many rows that generate; 0: a step without is to be measured. */
  tokens(generating: number): number {
    if (this.#slowdown === Infinity) return this.#most
    const changed = Math.abs(generating - this.#rows) > generating / 4
    return changed || this.#since >= stepsUntilMeasured ? 0 : this.#tokens
  }

  note({ generating, prompts, ms }: PacedStep): void {
    if (generating === 0) return
    if (prompts === 0) {
      if (generating !== this.#rows) this.#alone = []
      this.#rows = generating
      this.#since = 0
      this.#alone = [...this.#alone, ms].slice(-measured)
      return
    }
    this.#since++
    if (this.#alone.length === 0) return
    const alone = spreadOf(this.#alone).median
    this.#costs = [...this.#costs, (ms - alone) / prompts].slice(-measured)
    // Medians and small steps: a machine that others use now and then stops for a while.
    const fitting = ((this.#slowdown - 1) * alone) / Math.max(spreadOf(this.#costs).median, Number.MIN_VALUE)
    // One that was not full tells nothing of fuller ones.
    const more = prompts < 0.9 * this.#tokens ? this.#tokens : this.#tokens + Math.max(1, this.#tokens >> 3)
    const next = Math.max(1, Math.floor(this.#tokens * 0.75), Math.floor(Math.min(fitting, more)))
    this.#tokens = Math.min(this.#most, next)
  }
}
