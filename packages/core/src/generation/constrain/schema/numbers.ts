/** Numbers of an alternative: bounds and divisors as one automaton over their digits. */
import { type ByteAutomaton, spell } from '../automata/byte-automaton.ts'
import { isEmpty } from '../automata/character-automaton.ts'
import { type NumberBounds, numberAutomaton } from '../automata/decimals.ts'
import { Budget, finished, limits, type Pieces } from '../limits.ts'
import { type Negations, notEnum, notInteger, number, typesOf } from './keywords.ts'
import { get, refusal, type SchemaObject, type SchemaSource } from './source.ts'

const made = (integer: boolean): ByteAutomaton => {
  const bounds = {
    integer,
    fractional: false,
    min: -Infinity,
    max: Infinity,
    minExcluded: false,
    maxExcluded: false,
    multiplesOf: [],
  }
  const characters = finished(numberAutomaton(bounds, 'a number', new Budget()))
  return finished(spell(characters, 'a number', new Budget()))
}
/** Numbers without bounds; one for all, made when it is asked for. */
const any: { number?: ByteAutomaton; integer?: ByteAutomaton } = {}
const anyNumber = (): ByteAutomaton => (any.number ??= made(false))
const anyInteger = (): ByteAutomaton => (any.integer ??= made(true))

export function boundsOf(schemas: readonly SchemaObject[], source: SchemaSource): NumberBounds {
  let min = -Infinity
  let max = Infinity
  let minExcluded = false
  let maxExcluded = false
  const multiplesOf: number[] = []
  const low = (value: number | undefined, excluded: boolean): void => {
    if (value === undefined || value < min || (value === min && !excluded)) return
    min = value
    minExcluded = excluded
  }
  const high = (value: number | undefined, excluded: boolean): void => {
    if (value === undefined || value > max || (value === max && !excluded)) return
    max = value
    maxExcluded = excluded
  }
  for (const schema of schemas) {
    const pointer = source.pointerOf(schema)
    // Up to draft 4 the exclusive bounds are switches.
    const limit = (keyword: string) => (typeof get(schema, keyword) === 'boolean' ? undefined : number(schema, keyword, source))
    low(number(schema, 'minimum', source), get(schema, 'exclusiveMinimum') === true)
    high(number(schema, 'maximum', source), get(schema, 'exclusiveMaximum') === true)
    low(limit('exclusiveMinimum'), true)
    high(limit('exclusiveMaximum'), true)
    const divisor = number(schema, 'multipleOf', source)
    if (divisor !== undefined) {
      if (!Number.isInteger(divisor) || divisor < 1 || divisor > limits.divisor) {
        throw refusal(`${pointer}/multipleOf`, `a divisor that is no whole number from 1 to ${limits.divisor}`)
      }
      multiplesOf.push(divisor)
    }
    if (((schema as Negations)[notEnum] ?? []).some((each) => typeof each === 'number')) {
      throw refusal(pointer, 'the opposite of a list of numbers')
    }
  }
  const integer = schemas.some((schema) => typesOf(schema, source).integer)
  const fractional = schemas.some((schema) => (schema as Negations)[notInteger])
  return { integer, fractional, min, max, minExcluded, maxExcluded, multiplesOf }
}

export function fits(value: number, bounds: NumberBounds): boolean {
  const { min, max, minExcluded, maxExcluded, integer, fractional, multiplesOf } = bounds
  if (fractional && Number.isInteger(value)) return false
  if (value < min || value > max || (minExcluded && value === min) || (maxExcluded && value === max)) return false
  return (!integer || Number.isInteger(value)) && multiplesOf.every((divisor) => value % divisor === 0)
}

export class Numbers {
  readonly #budget: Budget
  readonly #known = new Map<string, ByteAutomaton | undefined>()

  constructor(budget: Budget) {
    this.#budget = budget
  }

  /** Undefined: no number is valid. @param where names the schema in errors */
  *automaton(bounds: NumberBounds, where: string): Pieces<ByteAutomaton | undefined> {
    const { min, max, integer, fractional, multiplesOf } = bounds
    if (min > max || (fractional && (integer || multiplesOf.length > 0))) return undefined
    if (min === -Infinity && max === Infinity && multiplesOf.length === 0 && !fractional)
      return integer ? anyInteger() : anyNumber()
    const key = [min, max, bounds.minExcluded, bounds.maxExcluded, integer, fractional, ...multiplesOf].join()
    if (!this.#known.has(key)) {
      const characters = yield* numberAutomaton(bounds, where, this.#budget)
      this.#known.set(key, isEmpty(characters) ? undefined : yield* spell(characters, where, this.#budget))
    }
    return this.#known.get(key)
  }
}
