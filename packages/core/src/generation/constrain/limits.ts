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
  /** Steps of compilation: some tenths of a second. The largest of 1,000 schemas from the wild need half of them. */
  work: 3_000_000,
  /** Ways to read a text that are followed at once. */
  threads: 1024,
  /** Nodes of the tree of tokens that are looked at for one mask, beside the walks of automata. */
  maskWork: 1_000_000,
} as const

/** Counts the work of one compilation. */
export class Budget {
  readonly #most: number
  #left: number

  constructor(most: number = limits.work) {
    this.#most = most
    this.#left = most
  }

  /** @throws unsupported error once the work is too much */
  spend(steps: number): void {
    this.#left -= steps
    if (this.#left < 0) throw tooMuch('the schema or pattern', 'steps of compilation', this.#most)
  }

  get spent(): number {
    return this.#most - this.#left
  }
}

export function tooMuch(what: string, of: string, most: number): ParscaleError {
  return unsupportedError(`${what} needs more than ${most} ${of}, which is not supported; make it smaller`, { expected: most })
}
