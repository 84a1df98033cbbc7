/** A grammar over a vocabulary, and one text that follows it. */
import { runtimeError, unsupportedError, usageError } from '../../errors.ts'
import type { ByteAutomaton } from './automata/byte-automaton.ts'
import { finished, type Pieces } from './limits.ts'
import type { Expression } from './machine/expressions.ts'
import { Frames } from './machine/frames.ts'
import { Masks } from './machine/masks.ts'
import { atEnd, type Reading, Stacks } from './machine/stacks.ts'
import type { TokenVocabulary } from './machine/vocabulary.ts'
import type { Values } from './schema/values.ts'
import { inTurns } from './turns.ts'

/** What may be drawn next in one request. */
export interface TokenConstraint {
  /**
   * [ceil(V / 32)]: bit `id % 32` of word `id >> 5` is set where the token may come next; those that end the text count. Valid
   * until the next `accept`; not to be changed.
   *
   * @throws unsupported error where no token may come: the vocabulary lacks the bytes that the text needs
   */
  allowed(): Uint32Array
  /**
   * Works out what `allowed` gives, in turns with whatever else the thread does; undefined where that is done at once. What fails
   * is thrown by `allowed`. Aborted, it never settles.
   */
  prepare?(signal?: AbortSignal): Promise<void> | undefined
  /** @throws runtime error for a token that is not allowed */
  accept(token: number): void
  /** The text has ended, or nothing may come but its end. */
  readonly done: boolean
}

/** What a text has to be; see compile.ts. */
export interface Grammar {
  readonly expression: Expression
  readonly values: Values
  /** Properties come in the schema's order. */
  readonly ordered: boolean
}

export interface GrammarOptions {
  /** Bytes of masks that are kept. Default 32 MiB. */
  readonly cacheBytes?: number
}

/** A grammar over a vocabulary. Texts of one grammar share what was found out about it. */
export class TokenGrammar {
  readonly vocabulary: TokenVocabulary
  readonly stacks: Stacks
  readonly masks: Masks
  readonly start: ReadonlySet<Reading>
  /** What it reads texts with, each by its number. */
  readonly #automata: ReadonlyMap<number, ByteAutomaton>

  constructor(grammar: Grammar, vocabulary: TokenVocabulary, { cacheBytes = 32 * 2 ** 20 }: GrammarOptions = {}) {
    this.vocabulary = vocabulary
    this.stacks = new Stacks(new Frames(grammar.values, grammar.ordered))
    this.masks = new Masks(vocabulary, this.stacks, cacheBytes)
    const start = new Set<Reading>()
    this.stacks.settle(this.stacks.push(undefined, [this.stacks.frames.expression(grammar.expression)]), start)
    this.start = start
    this.#automata = automataOf(grammar)
  }

  /** Numbers of its automata: walks of the vocabulary are made of them. */
  get automata(): Iterable<number> {
    return this.#automata.keys()
  }

  /** About as much memory as it holds, what was found out about it included; it grows with the texts. */
  get bytes(): number {
    let bytes = this.masks.bytes + frameBytes * this.stacks.kept
    for (const { next, labels } of this.#automata.values()) bytes += next.byteLength + 28 * labels.length
    return bytes
  }

  /** A new text. */
  constraint(): GrammarConstraint {
    return new GrammarConstraint(this)
  }
}

/** Of a frame or a stack, with its place in a table of those that are known. */
const frameBytes = 300

function automataOf({ expression, values }: Grammar): ReadonlyMap<number, ByteAutomaton> {
  const found = new Map<number, ByteAutomaton>()
  const add = (automaton: ByteAutomaton) => void found.set(automaton.id, automaton)
  const visit = (part: Expression): void => {
    if (part.type === 'text' || part.type === 'pattern') add(part.automaton)
    else if (part.type === 'repeat') visit(part.item)
    else if (part.type !== 'value') part.items.forEach(visit)
  }
  visit(expression)
  for (const { scalars, strings, objects } of values.nodes) {
    scalars.forEach(add)
    for (const { automaton } of strings) add(automaton)
    for (const { keys } of objects) add(keys)
  }
  return found
}

export class GrammarConstraint implements TokenConstraint {
  readonly #grammar: TokenGrammar
  #readings: ReadonlySet<Reading>
  #ended = false
  /** What `prepare` came to. */
  #prepared: Uint32Array | { readonly error: unknown } | undefined

  constructor(grammar: TokenGrammar) {
    this.#grammar = grammar
    this.#readings = grammar.start
  }

  get done(): boolean {
    return this.#ended || (this.#readings.size === 1 && this.#readings.has(atEnd))
  }

  /** The text may end here. */
  get mayEnd(): boolean {
    return this.#readings.has(atEnd)
  }

  /** Bytes on a short way to the end of the text, which a text that has to be short can go. */
  ending(): Uint8Array {
    const [first] = this.#readings
    return first === undefined || this.mayEnd ? new Uint8Array() : this.#grammar.stacks.ending(first)
  }

  prepare(signal?: AbortSignal): Promise<void> | undefined {
    const work = this.#prepare()
    return work.next().done ? undefined : inTurns(work, () => !signal?.aborted)
  }

  *#prepare(): Pieces<void> {
    if (this.#ended) return
    try {
      this.#prepared = yield* this.#grammar.masks.mask(this.#readings)
    } catch (error) {
      this.#prepared = { error }
    }
  }

  allowed(): Uint32Array {
    if (this.#prepared && 'error' in this.#prepared) throw this.#prepared.error
    const mask = this.#ended
      ? new Uint32Array(this.#grammar.masks.words)
      : (this.#prepared ?? finished(this.#grammar.masks.mask(this.#readings)))
    if (!this.#ended && mask.every((word) => word === 0)) {
      throw unsupportedError(
        'constrained output: no token of the vocabulary continues the text; its bytes cannot spell what the grammar asks for',
      )
    }
    return mask
  }

  accept(token: number): void {
    const { vocabulary, stacks } = this.#grammar
    if (this.#ended) throw runtimeError('constrained output: the text has ended')
    this.#prepared = undefined
    if (vocabulary.endIds.includes(token)) {
      if (!this.mayEnd) throw refusedToken(token)
      this.#ended = true
      return
    }
    const added = vocabulary.addedById.get(token)
    if (added) this.#go(stacks.stepAdded(this.#readings, added.text, added.isSpecial), token)
    else {
      const bytes = vocabulary.bytesOf(token)
      if (!bytes || bytes.length === 0) throw refusedToken(token)
      let readings = this.#readings
      for (const byte of bytes) readings = stacks.step(readings, byte)
      this.#go(readings, token)
    }
    if (stacks.trim()) this.#grammar.masks.forget()
  }

  /** Reads bytes instead of a token. @throws usage error for bytes that do not fit */
  acceptBytes(bytes: Uint8Array): void {
    let readings = this.#readings
    for (const [i, byte] of bytes.entries()) {
      readings = this.#grammar.stacks.step(readings, byte)
      if (readings.size === 0) throw usageError(`constrained output: byte ${i} (${byte}) is not allowed`, { found: byte })
    }
    this.#readings = readings
    this.#prepared = undefined
  }

  /** The same text again, to go on in another way. */
  fork(): GrammarConstraint {
    const copy = new GrammarConstraint(this.#grammar)
    copy.#readings = this.#readings
    copy.#ended = this.#ended
    return copy
  }

  #go(readings: ReadonlySet<Reading>, token: number): void {
    if (readings.size === 0) throw refusedToken(token)
    this.#readings = readings
  }
}

const refusedToken = (token: number) => runtimeError(`constrained output: token ${token} is not allowed here`, { found: token })
