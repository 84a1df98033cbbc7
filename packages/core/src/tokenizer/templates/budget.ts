/**
 * How much work a chat template may do. Templates come with checkpoints from strangers; `range(10 ** 9)`, a string that
 * doubles forty times or a macro that calls itself must end with an error, not with the process.
 *
 * Work is counted, not timed, so that the same template always ends the same way. One unit is some 100 to 500 ns:
 * a node evaluated, sixteen characters read, an eighth of a loop's turn. All of it takes about a second.
 */
import { checkpointError } from '../../errors.ts'
import type { TemplateValue } from './jinja-library.ts'

/** The longest published templates have about 20,000 characters. */
export const maxTemplateChars = 1 << 18
/** The library's tokenizer needs time quadratic in a run of whitespace. */
export const maxWhitespaceRun = 1 << 10
/** A conversation of a thousand turns takes about 100,000 units. */
export const maxWork = 1 << 21
/** Any text in a template's life, its result included: some million tokens. */
export const maxTextChars = 1 << 22
/** Nested nodes and calls. Deep enough for chains of a hundred `~`, far from the end of the stack. */
export const maxDepth = 400

const charsPerUnit = 16

export interface TemplateBudget {
  /** Takes `units` from what is left. @throws checkpoint error when that is not enough */
  spend(units: number): void
  /** Takes the work of reading `chars` characters. */
  read(chars: number): void
  /** Takes the work of making a text, before it is made. @throws checkpoint error when it would be too long */
  make(chars: number): void
  /** Takes the work of handing a text on. @throws checkpoint error when it is too long */
  pass(chars: number): void
  /** Takes the work of writing a value out with all that is in it; `indent` spaces a level. Returns the characters. */
  write(value: TemplateValue, indent?: number): number
}

export function templateBudget(): TemplateBudget {
  let left = maxWork
  const spend = (units: number): void => {
    left -= units
    // Written this way round, NaN is not enough either.
    if (!(left >= 0)) {
      throw templateLimit(`it takes more than ${maxWork} units of work; a loop or a text in it grows without end`)
    }
  }
  const read = (chars: number): void => spend(chars / charsPerUnit)
  const checkLength = (chars: number): void => {
    if (!(chars <= maxTextChars)) throw templateLimit(`it makes a text of ${chars} characters; the limit is ${maxTextChars}`)
  }
  const make = (chars: number): void => {
    checkLength(chars)
    read(chars)
  }
  const pass = (chars: number): void => {
    checkLength(chars)
    spend(chars / (4 * charsPerUnit))
  }
  const write = (value: TemplateValue, indent = 0): number => {
    const chars = writtenChars(value, indent, 1, spend)
    make(chars)
    return chars
  }
  return { spend, read, make, pass, write }
}

export const templateLimit = (why: string) => checkpointError(`chat template: stopped, because ${why}`, { file: 'chat template' })

/** Length of a value written out. Spends while it walks, since lists that hold each other twice over grow exponentially. */
function writtenChars(value: TemplateValue, indent: number, depth: number, spend: (units: number) => void): number {
  if (depth > maxDepth) throw templateLimit(`a value in it is nested more than ${maxDepth} deep`)
  const separators = 4 + indent * depth
  spend(1 + separators / charsPerUnit)
  const inner = value.value
  if (typeof inner === 'string') return inner.length + separators
  let chars = separators + 16
  if (Array.isArray(inner)) {
    for (const each of inner as TemplateValue[]) chars += writtenChars(each, indent, depth + 1, spend)
  } else if (inner instanceof Map) {
    for (const [key, each] of inner as Map<string, TemplateValue>) {
      chars += key.length + writtenChars(each, indent, depth + 1, spend)
    }
  }
  return chars
}
