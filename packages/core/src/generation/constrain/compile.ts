/** What a request asks for, as a grammar. All limits are checked here, before anything runs. */
import { usageError } from '../../errors.ts'
import { type ByteAutomaton, spell } from './automata/byte-automaton.ts'
import { isEmpty, textsAutomaton, withoutHalves } from './automata/character-automaton.ts'
import { compileRegex } from './automata/compile-regex.ts'
import { parseRegex } from './automata/parse-regex.ts'
import type { Grammar } from './constraint.ts'
import { Budget, finished, limits, type Pieces, tooMuch } from './limits.ts'
import { compileSchema } from './schema/compile-schema.ts'
import type { Values } from './schema/values.ts'

export interface WorkOptions {
  /** Most steps of compilation. Default: `limits.work`. */
  readonly work?: number
}

export interface SchemaOptions extends WorkOptions {
  /** Properties in the schema's order, as OpenAI's API gives them. Default: any order. */
  readonly ordered?: boolean
}

const noValues: Values = { nodes: [], root: -1, shortest: new Float64Array() }

/**
 * JSON that a JSON schema (draft 2020-12, and what earlier drafts say in other words) calls valid.
 *
 * @throws unsupported error that names the keyword and where it stands; usage error for what is no schema
 */
export const schemaGrammar = (schema: unknown, options: SchemaOptions = {}): Grammar => finished(schemaPieces(schema, options))

/** The same in pieces of some milliseconds, for a thread that serves others in between. */
export function* schemaPieces(schema: unknown, { ordered = false, work }: SchemaOptions = {}): Pieces<Grammar> {
  const values = yield* compileSchema(schema, new Budget(work))
  return { expression: { type: 'value', node: values.root }, values, ordered }
}

/** Any JSON object. */
export const jsonObjectGrammar = (): Grammar => schemaGrammar({ type: 'object' })

/** A text that the whole of a regular expression (ECMAScript's) matches. @throws unsupported error that names what cannot be run */
export const regexGrammar = (pattern: string, options: WorkOptions = {}): Grammar => finished(regexPieces(pattern, options))

/** The same in pieces. */
export function* regexPieces(pattern: string, { work }: WorkOptions = {}): Pieces<Grammar> {
  const automaton = yield* regexAutomaton(pattern, new Budget(work))
  return { expression: { type: 'pattern', automaton }, values: noValues, ordered: false }
}

export function* regexAutomaton(pattern: string, budget: Budget): Pieces<ByteAutomaton> {
  const automaton = yield* withoutHalves(yield* compileRegex(parseRegex(pattern, 'regex'), 'regex', budget), budget)
  if (isEmpty(automaton)) throw usageError('regex: no text matches the pattern', { found: pattern })
  return yield* spell(automaton, 'regex', budget)
}

/** One of these texts. */
export function choiceGrammar(choices: readonly string[]): Grammar {
  if (choices.length === 0) throw usageError('choice: there is nothing to choose from', { found: choices })
  if (choices.join('').length > limits.schemaCharacters) throw tooMuch('choice', 'characters', limits.schemaCharacters)
  const budget = new Budget()
  const { labels, ...rest } = finished(textsAutomaton(choices, budget))
  const automaton = finished(spell({ ...rest, labels: labels.map((label) => Math.min(label, 0)) }, 'choice', budget))
  return { expression: { type: 'pattern', automaton }, values: noValues, ordered: false }
}
