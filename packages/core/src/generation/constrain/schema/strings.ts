/** Strings of an alternative: patterns, formats, lists of texts and lengths, as one automaton over their characters. */
import type { ByteAutomaton } from '../automata/byte-automaton.ts'
import { spell } from '../automata/byte-automaton.ts'
import {
  type CharacterAutomaton,
  distances,
  intersection,
  isEmpty,
  lengthAutomaton,
  negation,
  textsAutomaton,
  universal,
  withoutHalves,
} from '../automata/character-automaton.ts'
import { compileRegex } from '../automata/compile-regex.ts'
import { parseRegex } from '../automata/parse-regex.ts'
import { Budget, finished, limits, type Pieces } from '../limits.ts'
import { formats, unsupportedFormats } from './formats.ts'
import { type Negations, notEnum, notPattern, wholeNumber, wrong } from './keywords.ts'
import { get, refusal, type SchemaObject, type SchemaSource } from './source.ts'

/** Texts of an automaton that have `min` to `max` code points; spelled as the inside of a JSON string. */
export interface StringSpec {
  readonly automaton: ByteAutomaton
  readonly min: number
  readonly max: number
}

/** What a string has to be, by what names it, and its code points. */
interface Parts {
  readonly parts: readonly { readonly key: string; readonly automaton: CharacterAutomaton }[]
  readonly min: number
  readonly max: number
}

let madeOfAny: ByteAutomaton | undefined
/** Any string; one for all, so that what is known of it is known once. Made when it is asked for: most programs never do. */
export const anyString = (): ByteAutomaton => (madeOfAny ??= finished(spell(universal, 'a string', new Budget(), { json: true })))

/** Makes automata, each once. */
export class Strings {
  readonly #source: SchemaSource
  readonly #budget: Budget
  readonly #automata = new Map<string, CharacterAutomaton>()
  readonly #specs = new Map<string, StringSpec | undefined>()

  constructor(source: SchemaSource, budget: Budget) {
    this.#source = source
    this.#budget = budget
  }

  /** @param values the strings of `enum`, where there is one. Undefined: no string is valid. */
  *spec(schemas: readonly SchemaObject[], values?: readonly string[]): Pieces<StringSpec | undefined> {
    const { parts, min, max } = yield* this.#parts(schemas, values)
    const key = JSON.stringify([parts.map(({ key }) => key), min, max])
    if (!this.#specs.has(key))
      this.#specs.set(
        key,
        yield* this.#make(
          parts.map(({ automaton }) => automaton),
          min,
          max,
          schemas,
        ),
      )
    return this.#specs.get(key)
  }

  /** Of names of properties: lengths are part of the automaton. */
  *names(schemas: readonly SchemaObject[], values?: readonly string[]): Pieces<CharacterAutomaton> {
    const { parts, min, max } = yield* this.#parts(schemas, values)
    const automata = parts.map(({ automaton }) => automaton)
    const what = this.#where(schemas)
    if (min > 0 || max < Infinity) automata.push(lengthAutomaton(min, max, what))
    return automata.length > 0 ? yield* intersection(automata, what, this.#budget) : universal
  }

  /** A pattern, which may match anywhere. */
  *pattern(pattern: string, where: string): Pieces<CharacterAutomaton> {
    return yield* this.#once(`pattern ${pattern}`, () =>
      compileRegex(parseRegex(pattern, where), where, this.#budget, { anywhere: true }),
    )
  }

  *#add(parts: Map<string, CharacterAutomaton>, key: string, make: () => Pieces<CharacterAutomaton>): Pieces<void> {
    parts.set(key, yield* this.#once(key, make))
  }

  *#once(key: string, make: () => Pieces<CharacterAutomaton>): Pieces<CharacterAutomaton> {
    const found = this.#automata.get(key) ?? (yield* make())
    this.#automata.set(key, found)
    return found
  }

  #where(schemas: readonly SchemaObject[]): string {
    return schemas.map((schema) => this.#source.pointerOf(schema))[0] ?? '#'
  }

  *#parts(schemas: readonly SchemaObject[], values: readonly string[] | undefined): Pieces<Parts> {
    const parts = new Map<string, CharacterAutomaton>()
    let min = 0
    let max = Infinity
    for (const schema of schemas) {
      const pointer = this.#source.pointerOf(schema)
      min = Math.max(min, wholeNumber(schema, 'minLength', this.#source) ?? 0)
      max = Math.min(max, wholeNumber(schema, 'maxLength', this.#source) ?? Infinity)
      const pattern = get(schema, 'pattern')
      if (pattern !== undefined && typeof pattern !== 'string') throw wrong(schema, 'pattern', 'a string', this.#source)
      if (pattern !== undefined) parts.set(`pattern ${pattern}`, yield* this.pattern(pattern, `${pointer}/pattern`))
      for (const each of (schema as Negations)[notPattern] ?? []) {
        const pattern = yield* this.pattern(each, pointer)
        yield* this.#add(parts, `not ${each}`, () => negation(pattern, this.#budget))
      }
      const not = ((schema as Negations)[notEnum] ?? []).filter((each) => typeof each === 'string')
      if (not.length > 0) {
        const texts = yield* textsAutomaton(not, this.#budget)
        yield* this.#add(parts, `none ${JSON.stringify(not)}`, () => negation(texts, this.#budget))
      }
      const format = get(schema, 'format')
      if (typeof format !== 'string') continue
      if (unsupportedFormats.has(format)) throw refusal(`${pointer}/format`, `the format "${format}"`)
      if (!Object.hasOwn(formats, format)) continue
      yield* this.#add(parts, `format ${format}`, () =>
        compileRegex(parseRegex(formats[format]!, `${pointer}/format`), `${pointer}/format`, this.#budget),
      )
    }
    if (values) {
      // A list of texts says their lengths.
      const fitting = values.filter((each) => within([...each].length, min, max))
      yield* this.#add(parts, `texts ${JSON.stringify(fitting)}`, () => textsAutomaton(fitting, this.#budget))
      min = 0
      max = Infinity
    }
    return { parts: [...parts].map(([key, automaton]) => ({ key, automaton })), min, max }
  }

  *#make(
    parts: readonly CharacterAutomaton[],
    min: number,
    max: number,
    schemas: readonly SchemaObject[],
  ): Pieces<StringSpec | undefined> {
    if (min > max) return undefined
    if (parts.length === 0) return { automaton: anyString(), min, max }
    const what = this.#where(schemas)
    const texts = oneLabel(yield* withoutHalves(yield* intersection(parts, what, this.#budget), this.#budget))
    if (isEmpty(texts)) return undefined
    const { least, most } = yield* distances(texts, this.#budget)
    if (most[0]! < min || least[0]! > max) return undefined
    const low = least[0]! >= min ? 0 : min
    const high = most[0]! <= max ? Infinity : max
    // With one bound, the shortest or longest way to an end decides; with both, not every length between need be there.
    const both = low > 0 && high < Infinity && !this.#anyLength(texts, most)
    if (!both) return { automaton: yield* spell(texts, what, this.#budget, { json: true }), min: low, max: high }
    if (high > limits.patternStates) throw refusal(what, `a pattern with a minLength and a maxLength of ${high}`)
    const counted = yield* intersection([texts, lengthAutomaton(low, high, what)], what, this.#budget)
    return isEmpty(counted)
      ? undefined
      : { automaton: yield* spell(counted, what, this.#budget, { json: true }), min: 0, max: Infinity }
  }

  /** From each state every longer text is possible too: then lengths between two bounds need no more care than one bound. */
  #anyLength({ labels, next, breaks }: CharacterAutomaton, most: Float64Array): boolean {
    const width = breaks.length
    return (
      most.every((each) => each === Infinity) &&
      labels.every((label, s) => label < 0 || next.subarray(s * width, (s + 1) * width).some((to) => to >= 0 && labels[to]! >= 0))
    )
  }
}

const within = (value: number, min: number, max: number): boolean => value >= min && value <= max

/** Of texts alone it does not matter which one it was. */
const oneLabel = (automaton: CharacterAutomaton): CharacterAutomaton => ({
  ...automaton,
  labels: automaton.labels.map((label) => Math.min(label, 0)),
})
