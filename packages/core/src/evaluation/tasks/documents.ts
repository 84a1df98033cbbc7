/** What a task makes of a document: its question, answer and choices. As ConfigurableTask of lm-evaluation-harness (api/task.py). */
import { isParscaleError, ParscaleError, usageError } from '../../errors.ts'
import { compilePromptTemplate, type PromptTemplate } from '../../tokenizer/index.ts'
import type { ChoiceField, Document, TargetField, TaskConfig, TextField } from './config.ts'
import { literal } from './python/literal.ts'
import { pythonRegex, substitute } from './python/regex.ts'

export type Target = string | number | readonly unknown[]

const isDigits = (text: string): boolean => /^\p{Nd}+$/u.test(text)

/** Reads documents of one task. Templates are compiled once. */
export class DocumentReader {
  readonly #config: TaskConfig
  readonly #columns: ReadonlySet<string>
  readonly #templates = new Map<string, PromptTemplate>()

  /** @param columns names that every document has: a field that is one of them is no template */
  constructor(config: TaskConfig, columns: readonly string[]) {
    this.#config = config
    this.#columns = new Set(columns)
  }

  /** A text, or the number of the choice where the choices are the questions (`multiple inputs`). */
  text(doc: Document, field: TextField | undefined = this.#config.text): string | number {
    if (typeof field === 'number') return field
    if (field === undefined) return ''
    const value = this.#value(doc, field, 'doc_to_text')
    if (this.#isColumn(field)) return typeof value === 'boolean' ? Number(value) : (value as string | number)
    return this.#numberOrText(value as string)
  }

  target(doc: Document, field: TargetField | undefined = this.#config.target): Target {
    if (typeof field === 'number' || Array.isArray(field)) return field
    const value = this.#value(doc, field as string, 'doc_to_target')
    if (this.#isColumn(field as string)) return typeof value === 'boolean' ? Number(value) : (value as Target)
    const text = value as string
    const number = this.#numberOrText(text)
    if (typeof number === 'number') return number
    if (text.length < 2 || !text.startsWith('[') || !text.endsWith(']')) return text
    try {
      return literal(text) as readonly unknown[]
    } catch {
      return text
    }
  }

  choices(doc: Document, field: ChoiceField | undefined = this.#config.choice): readonly string[] {
    if (field === undefined) return []
    if (Array.isArray(field)) return field
    if (typeof field !== 'string') return Object.values(field)
    const value = this.#value(doc, field, 'doc_to_choice')
    const choices = this.#isColumn(field) ? value : this.#literal(value as string)
    if (Array.isArray(choices) && choices.every((choice) => typeof choice === 'string')) return choices as string[]
    throw usageError(`doc_to_choice: expected a list of texts, got ${JSON.stringify(choices)?.slice(0, 80)}`)
  }

  /** A field's value, or what its template makes; an empty field is nothing. */
  resolve(doc: Document, field: string | undefined, name: string): string {
    return field === undefined || field === '' ? '' : String(this.#value(doc, field, name) ?? '')
  }

  #isColumn(field: string): boolean {
    return this.#columns.has(field)
  }

  #value(doc: Document, field: string, name: string): unknown {
    if (this.#isColumn(field)) {
      const value = doc[field]
      if (value === undefined || value === null) throw usageError(`${name}: the field ${field} is empty`)
      return value
    }
    try {
      return this.#template(field).render(doc)
    } catch (error) {
      if (!isParscaleError(error)) throw error
      throw new ParscaleError(error.kind, `${name}: ${error.message}`, error.facts)
    }
  }

  #template(source: string): PromptTemplate {
    const known = this.#templates.get(source)
    if (known) return known
    const compiled = compilePromptTemplate(source, (pattern, replacement, text, count) =>
      substitute(pythonRegex(pattern), replacement, text, count),
    )
    this.#templates.set(source, compiled)
    return compiled
  }

  #numberOrText(text: string): string | number {
    return isDigits(text) && this.#config.choice !== undefined ? (this.#literal(text) as number) : text
  }

  #literal(text: string): unknown {
    try {
      return literal(text)
    } catch (cause) {
      throw usageError(`doc_to_choice: ${(cause as Error).message}`, { cause })
    }
  }
}
