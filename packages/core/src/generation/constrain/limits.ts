/**
 * How much a stranger's schema or pattern may cost. Everything that grows with it is counted here, before anything runs: what
 * goes beyond a limit is refused by name.
 */
import { type ParscaleError, unsupportedError } from '../../errors.ts'

export const limits = {
  /** Characters of a schema as JSON, or of a pattern. */
  schemaCharacters: 2 ** 20,
  patternCharacters: 2 ** 14,
  /** Depth of a schema, of a pattern's groups, and of JSON that is generated. */
  depth: 128,
  /** States of one automaton over characters, before and after it is made deterministic. */
  patternStates: 20_000,
  /** States of one automaton over bytes. */
  byteStates: 60_000,
  /** Transitions of one automaton: states times classes of what it reads. */
  cells: 4_000_000,
  /** Kinds of values: schemas and conjunctions of schemas. */
  nodes: 6000,
  /** Alternatives of one value, after anyOf, allOf and the like are multiplied out. */
  alternatives: 512,
  /** Properties that an object names, and patterns of its keys. */
  keys: 2000,
  /** Largest divisor of `multipleOf`. */
  divisor: 1000,
  /** Steps of compilation: some tenths of a second. One of 1,000 schemas from the wild needs more. */
  work: 6_000_000,
  /** Ways to read a text that are followed at once. */
  threads: 1024,
  /** Steps for one mask, about a tenth of a microsecond each. */
  maskWork: 10_000_000,
} as const

/** Work in pieces: it yields where others should have their turn. */
export type Pieces<T> = Generator<void, T, void>

/** All of it at once. */
export function finished<T>(work: Pieces<T>): T {
  for (;;) {
    const { done, value } = work.next()
    if (done) return value
  }
}

/** Steps of compilation in a turn: some milliseconds. */
const stepsOfTurn = 50_000
/** Steps of a mask in a turn: a millisecond. All rows of a step may need one. */
const maskStepsOfTurn = 10_000

/** Counts the work of one compilation. */
export class Budget {
  readonly #most: number
  #left: number
  #turn = 0

  constructor(most: number = limits.work) {
    this.#most = most
    this.#left = most
  }

  /** Where nothing can yield. @throws unsupported error once the work is too much */
  count(steps: number): void {
    this.#left -= steps
    this.#turn += steps
    if (this.#left < 0) throw tooMuch('the schema or pattern', 'steps of compilation', this.#most)
  }

  /** True where it is time to yield. @throws unsupported error once the work is too much */
  spend(steps: number): boolean {
    this.count(steps)
    return this.pass(0)
  }

  /** Of steps that follow from what was counted before: they take time, and nothing from the limit. */
  pass(steps: number): boolean {
    this.#turn += steps
    if (this.#turn < stepsOfTurn) return false
    this.#turn = 0
    return true
  }

  get spent(): number {
    return this.#most - this.#left
  }
}

/** Counts the work of one mask. */
export class MaskBudget {
  #spent = 0
  #turn = 0

  /** Where nothing can yield. @throws unsupported error once the work is too much */
  count(steps: number): void {
    this.#spent += steps
    this.#turn += steps
    if (this.#spent > limits.maskWork)
      throw unsupportedError('constrained output: the next token can be read in too many ways; make the schema less ambiguous')
  }

  /** True where it is time to yield. @throws unsupported error once the work is too much */
  spend(steps: number): boolean {
    this.count(steps)
    if (this.#turn < maskStepsOfTurn) return false
    this.#turn = 0
    return true
  }
}

export function tooMuch(what: string, of: string, most: number): ParscaleError {
  return unsupportedError(`${what} needs more than ${most} ${of}, which is not supported; make it smaller`, { expected: most })
}
