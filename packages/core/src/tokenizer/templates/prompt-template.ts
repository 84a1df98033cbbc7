/**
 * A prompt's template as lm-evaluation-harness runs it: jinja2 without the sandbox's trimming of blocks, where what is undefined may not
 * be printed, and with a filter `regex_replace`. Within the same budget as a chat template.
 */
import { checkpointError, isParscaleError, ParscaleError } from '../../errors.ts'
import { maxTemplateChars, templateBudget, templateLimit } from './budget.ts'
import { checkTemplate } from './jinja/checks.ts'
import { toValue } from './jinja/convert.ts'
import { PythonError } from './jinja/errors.ts'
import { Execution } from './jinja/execute.ts'
import { globals } from './jinja/globals.ts'
import { parse } from './jinja/parser.ts'
import type { RegexReplace, Runtime } from './jinja/runtime.ts'
import { Scope } from './jinja/scope.ts'
import { hiddenNames } from './jinja/symbols.ts'

export interface PromptTemplate {
  /**
   * The text of a document.
   *
   * @param variables JSON-like values by name
   * @throws checkpoint error when the template fails, names what the document does not have, or takes too much
   */
  render(variables: Readonly<Record<string, unknown>>): string
}

/**
 * @param regexReplace what the filter of this name does
 * @throws checkpoint error for a text that is no template
 */
export function compilePromptTemplate(source: string, regexReplace: RegexReplace): PromptTemplate {
  if (source.length > maxTemplateChars)
    throw templateLimit(`it has ${source.length} characters; the limit is ${maxTemplateChars}`)
  const [template, hidden] = explain(() => {
    const statements = parse(source, { trimBlocks: false, keepTrailingNewline: true })
    checkTemplate(statements, ['regex_replace'])
    return [statements, hiddenNames(statements)] as const
  })
  return {
    render(variables) {
      const runtime: Runtime = { budget: templateBudget(), now: () => new Date(), strict: true, regexReplace }
      return explain(() => {
        const scope = new Scope()
        for (const [name, make] of Object.entries(globals)) scope.set(name, make())
        for (const [name, value] of Object.entries(variables)) if (value !== undefined) scope.set(name, toValue(value, null))
        return new Execution(runtime, hidden).run(template, scope).value
      })
    },
  }
}

/** Says what errors of the language mean, without the chat template that its messages speak of. */
function explain<T>(work: () => T): T {
  try {
    return work()
  } catch (cause) {
    if (isParscaleError(cause))
      throw new ParscaleError(cause.kind, cause.message.replace(/^chat template: /, 'template: '), { ...cause.facts, cause })
    if (cause instanceof RangeError) throw templateLimit(`it is nested too deep or makes a text too long (${cause.message})`)
    if (!(cause instanceof PythonError)) throw cause
    throw checkpointError(`template: ${cause.python}: ${cause.message.slice(0, 1000)}`, { cause })
  }
}
