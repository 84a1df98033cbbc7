/** A chat template as jinja2 runs it in transformers' sandbox, within a budget. */
import { checkpointError, isParscaleError } from '../../errors.ts'
import { maxTemplateChars, templateBudget, templateLimit } from './budget.ts'
import { checkTemplate } from './jinja/checks.ts'
import { toMessages, toValue } from './jinja/convert.ts'
import { PythonError } from './jinja/errors.ts'
import { Execution } from './jinja/execute.ts'
import { globals } from './jinja/globals.ts'
import { parse } from './jinja/parser.ts'
import { Scope } from './jinja/scope.ts'
import { hiddenNames } from './jinja/symbols.ts'
import type { Text } from './jinja/text.ts'

export interface TemplateVariables {
  /** Texts in them are the template's own: `bos_token` and its like. */
  readonly own?: Readonly<Record<string, unknown>>
  /** Texts in them are people's. */
  readonly given?: Readonly<Record<string, unknown>>
}

export interface CompiledTemplate {
  /**
   * The text, and who wrote what in it.
   *
   * @param now what `strftime_now` writes; the present by default
   * @throws checkpoint error when the template fails or takes too much; usage error when it rejects the messages; unsupported
   *   error naming what jinja2 does and we do not
   */
  render(variables: TemplateVariables, now?: () => Date): Text
}

/** @throws checkpoint error for a template that is no Jinja, or larger than any chat template */
export function compileTemplate(source: string): CompiledTemplate {
  if (source.length > maxTemplateChars) {
    throw templateLimit(`it has ${source.length} characters; the limit is ${maxTemplateChars}`)
  }
  const [template, hidden] = explain(() => {
    const statements = parse(source)
    checkTemplate(statements)
    return [statements, hiddenNames(statements)] as const
  })
  return {
    render({ own = {}, given = {} }, now = () => new Date()) {
      const runtime = { budget: templateBudget(), now }
      return explain(() => {
        const scope = new Scope()
        for (const [name, make] of Object.entries(globals)) scope.set(name, make())
        for (const [name, value] of Object.entries(own)) scope.set(name, toValue(value, null))
        for (const [name, value] of Object.entries(given))
          scope.set(name, name === 'messages' ? toMessages(value) : toValue(value))
        return new Execution(runtime, hidden).run(template, scope)
      })
    },
  }
}

/** Says what errors of the language mean. */
function explain<T>(work: () => T): T {
  try {
    return work()
  } catch (cause) {
    if (isParscaleError(cause)) throw cause
    if (cause instanceof RangeError) throw templateLimit(`it is nested too deep or makes a text too long (${cause.message})`)
    if (!(cause instanceof PythonError)) throw cause
    throw checkpointError(`chat template: ${cause.python}: ${cause.message.slice(0, 1000)}`, { file: 'chat template', cause })
  }
}
