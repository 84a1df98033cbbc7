/**
 * Texts that may call tools, in the forms that models were trained on: free text, and calls whose arguments follow the tool's
 * schema.
 */
import { usageError } from '../../errors.ts'
import { type ByteAutomaton, spell } from './automata/byte-automaton.ts'
import { negation, pruned, textsAutomaton } from './automata/character-automaton.ts'
import { compileRegex } from './automata/compile-regex.ts'
import {
  anything,
  choice as either,
  sequence as inOrder,
  text as literal,
  type Regex,
  repeat,
  set,
} from './automata/regex-tree.ts'
import { regexAutomaton } from './compile.ts'
import type { Grammar } from './constraint.ts'
import { Budget, finished, limits, type Pieces, tooMuch } from './limits.ts'
import type { Expression } from './machine/expressions.ts'
import { compileSchemas } from './schema/compile-schemas.ts'

export interface Tool {
  readonly name: string
  /** JSON schema of the arguments. Absent: any object. */
  readonly parameters?: unknown
}

/**
 * hermes: `<tool_call>{"name": .., "arguments": ..}</tool_call>`, also Qwen's. llama: `{"name": .., "parameters": ..}` in place of
 * a text. mistral: `[TOOL_CALLS][{"name": .., "arguments": ..}, ..]` at the end of a text; mistral-args: `[TOOL_CALLS]name[ARGS]{..}`,
 * with `[CALL_ID]` and nine characters before `[ARGS]` or not.
 */
export type ToolForm = 'hermes' | 'llama' | 'mistral' | 'mistral-args'

export interface ToolOptions {
  readonly tools: readonly Tool[]
  readonly form: ToolForm
  /** A text, calls, or both; at least one call; or a call of the one tool that is named. None: use no grammar. */
  readonly choice: 'auto' | 'required' | { readonly name: string }
  /** With `auto`: what a text without calls has to be. Default: any text, and calls may come behind one. */
  readonly answer?: { readonly schema: unknown } | { readonly pattern: string }
  /** More than one call in a text. Default true. */
  readonly parallel?: boolean
  /** Arguments in the schema's order. Default: any order. */
  readonly ordered?: boolean
  /** Most steps of compilation, for all tools together. */
  readonly work?: number
}

/** @throws unsupported error that names the keyword of a tool's schema; usage error for tools that are none */
export const toolGrammar = (options: ToolOptions): Grammar => finished(toolPieces(options))

/** The same in pieces. */
export function* toolPieces(options: ToolOptions): Pieces<Grammar> {
  const { tools, form, choice, parallel = true, ordered = false, work } = options
  const asked = choice === 'auto' ? options.answer : undefined
  const called = typeof choice === 'string' ? tools : tools.filter(({ name }) => name === choice.name)
  if (called.length === 0) {
    const found = typeof choice === 'string' ? 'there are no tools' : `there is no tool "${choice.name}"`
    throw usageError(`tools: ${found}; tools are ${tools.map(({ name }) => name).join(', ') || 'missing'}`, { flag: 'tools' })
  }
  if (called.length > limits.alternatives) throw tooMuch('tools', 'tools', limits.alternatives)
  const schemas = called.map(({ name, parameters }) => ({ name: `tool "${name}"`, schema: parameters ?? { type: 'object' } }))
  if (asked && 'schema' in asked) schemas.push({ name: 'answer', schema: asked.schema as object })
  const budget = new Budget(work)
  const { values, roots } = yield* compileSchemas(schemas, budget)
  const pattern = (regex: Regex): Expression => ({
    type: 'pattern',
    automaton: finished(spell(finished(compileRegex(regex, 'tools', budget)), 'tools', budget)),
  })
  const inner = form === 'llama' ? 'parameters' : 'arguments'
  const one: Expression = {
    type: 'choice',
    items: called.map(({ name }, i) => ({
      type: 'sequence',
      items: [
        pattern(
          inOrder(
            literal('{'),
            blanks,
            literal('"name"'),
            blanks,
            literal(':'),
            blanks,
            literal(JSON.stringify(name)),
            blanks,
            literal(','),
            blanks,
            literal(`"${inner}"`),
            blanks,
            literal(':'),
          ),
        ),
        { type: 'value', node: roots[i]! },
        pattern(inOrder(blanks, literal('}'))),
      ],
    })),
  }
  const free = (markers: readonly string[], more: Partial<Expression & { type: 'pattern' }> = {}): Expression => ({
    type: 'pattern',
    free: true,
    automaton: without(markers, budget),
    ...more,
  })
  let answer: Expression | undefined
  if (asked && 'schema' in asked) answer = { type: 'value', node: roots.at(-1)! }
  else if (asked) answer = { type: 'pattern', automaton: yield* regexAutomaton(asked.pattern, budget) }
  const forced = choice !== 'auto' || answer !== undefined
  const many = parallel && typeof choice === 'string'
  const sequence = (...items: Expression[]): Expression => ({ type: 'sequence', items })
  const optional = (item: Expression): Expression => ({ type: 'choice', items: [{ type: 'sequence', items: [] }, item] })
  const marker = (text: string): Expression => ({ type: 'text', automaton: fixed(text, budget), marker: text })

  switch (form) {
    case 'hermes': {
      const body = sequence(pattern(blanks), one, pattern(blanks), marker('</tool_call>'))
      const next = sequence(pattern(blanks), marker('<tool_call>'), body)
      const calls = many ? sequence(body, { type: 'repeat', item: next, min: 0 }) : body
      const after = pattern(blanks)
      if (forced) return grammar(sequence(pattern(blanks), marker('<tool_call>'), calls, after))
      const upTo: Expression = { type: 'pattern', free: true, automaton: until('<tool_call>', budget), marker: '<tool_call>' }
      return grammar({ type: 'choice', items: [free(['<tool_call>']), sequence(upTo, calls, after)] })
    }
    case 'llama': {
      const separator = pattern(inOrder(blanks, literal(';'), blanks))
      const calls = sequence(
        optional(marker('<|python_tag|>')),
        one,
        ...(many ? [{ type: 'repeat', item: sequence(separator, one), min: 0 } as const] : []),
      )
      if (forced) return grammar(calls)
      return grammar({ type: 'choice', items: [{ type: 'pattern', free: true, automaton: notStarting(budget) }, calls] })
    }
    case 'mistral-args': {
      const call = named()
      const next = sequence(marker('[TOOL_CALLS]'), call)
      const calls = many ? sequence(call, { type: 'repeat', item: next, min: 0 }) : call
      if (forced) return grammar(sequence(marker('[TOOL_CALLS]'), calls))
      const upTo: Expression = { type: 'pattern', free: true, automaton: until('[TOOL_CALLS]', budget), marker: '[TOOL_CALLS]' }
      return grammar({ type: 'choice', items: [free(['[TOOL_CALLS]']), sequence(upTo, calls)] })
    }
    case 'mistral': {
      const comma = pattern(inOrder(blanks, literal(','), blanks))
      const list = sequence(
        pattern(inOrder(blanks, literal('['), blanks)),
        one,
        ...(many ? [{ type: 'repeat', item: sequence(comma, one), min: 0 } as const] : []),
        pattern(inOrder(blanks, literal(']'))),
      )
      if (forced) return grammar(sequence(marker('[TOOL_CALLS]'), list))
      const upTo: Expression = { type: 'pattern', free: true, automaton: until('[TOOL_CALLS]', budget), marker: '[TOOL_CALLS]' }
      return grammar({ type: 'choice', items: [free(['[TOOL_CALLS]']), sequence(upTo, list)] })
    }
  }

  /** `name[ARGS]{..}`, of one of the tools. */
  function named(): Expression {
    const id = sequence(marker('[CALL_ID]'), pattern(repeat(set(0x30, 0x39, 0x41, 0x5a, 0x61, 0x7a), 9, 9)))
    const items = called.map(({ name }, i) =>
      sequence(pattern(literal(name)), optional(id), marker('[ARGS]'), { type: 'value', node: roots[i]! }),
    )
    return { type: 'choice', items }
  }

  function grammar(expression: Expression): Grammar {
    return { expression: answer ? { type: 'choice', items: [answer, expression] } : expression, values, ordered }
  }
}

const blanks: Regex = repeat(set(0x0a, 0x0a, 0x20, 0x20), 0, 8)

const fixed = (marker: string, budget: Budget): ByteAutomaton =>
  finished(spell(finished(textsAutomaton([marker], budget)), marker, budget))

/** Any text that ends with the first marker in it. */
function until(marker: string, budget: Budget): ByteAutomaton {
  const found = finished(compileRegex(inOrder(anything, literal(marker)), 'tools', budget))
  const width = found.breaks.length
  const next = found.next.slice()
  found.labels.forEach((label, state) => {
    if (label >= 0) next.fill(-1, state * width, (state + 1) * width)
  })
  return finished(spell(finished(pruned({ ...found, next }, budget)), 'tools', budget))
}

/** Any text that has none of the markers. */
function without(markers: readonly string[], budget: Budget): ByteAutomaton {
  const found = finished(compileRegex(either(...markers.map(literal)), 'tools', budget, { anywhere: true }))
  return finished(spell(finished(negation(found, budget)), 'tools', budget))
}

/** Any text that does not begin as a call does. */
function notStarting(budget: Budget): ByteAutomaton {
  const calls = finished(
    compileRegex(
      inOrder(repeat(set(9, 13, 0x20, 0x20), 0), either(literal('{'), literal('<|python_tag|>')), anything),
      'tools',
      budget,
    ),
  )
  return finished(spell(finished(negation(calls, budget)), 'tools', budget))
}
