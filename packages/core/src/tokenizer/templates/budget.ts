/**
 * How much work a chat template may do. Templates come with checkpoints from strangers; `range(10 ** 9)`, a string that
 * doubles forty times or a macro that calls itself must end with an error, not with the process.
 *
 * Work is counted, not timed, so that the same template always ends the same way. One unit is some 100 to 500 ns:
 * a node evaluated, sixteen characters read, an item of a loop. All of it takes about a second.
 */
import { checkpointError } from '../../errors.ts'

/** The longest published templates have about 20,000 characters. */
export const maxTemplateChars = 1 << 18
/** A conversation of a thousand turns takes about 100,000 units. */
export const maxWork = 1 << 21
/** Any text in a template's life, its result included: some million tokens. */
export const maxTextChars = 1 << 22
/** All texts and lists that a template makes, together. */
export const maxMadeChars = 1 << 26
/** Nested nodes and calls. Deep enough for chains of a hundred `~`, far from the end of the stack. */
export const maxDepth = 400
/** Whole numbers; Python has no limit but prints no more than 4300 digits. */
export const maxIntegerBits = 1 << 14

const charsPerUnit = 16

export interface TemplateBudget {
  /** Takes `units` from what is left. @throws checkpoint error when that is not enough */
  spend(units: number): void
  /** Takes the work of reading `chars` characters. */
  read(chars: number): void
  /** Takes the work of making a text, before it is made. @throws checkpoint error when it would be too long */
  make(chars: number): void
  /** @throws checkpoint error for a text that is too long */
  checkLength(chars: number): void
  /** Goes one level deeper into nodes, calls or nested values; `leave` comes back. @throws checkpoint error when too deep */
  enter(): void
  leave(): void
}

export function templateBudget(): TemplateBudget {
  let left = maxWork
  let made = 0
  let depth = 0
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
  return {
    spend,
    read,
    checkLength,
    make(chars) {
      checkLength(chars)
      made += chars
      if (made > maxMadeChars) throw templateLimit(`it makes more than ${maxMadeChars} characters of text in all`)
      read(chars)
    },
    enter() {
      if (++depth > maxDepth) throw templateLimit(`it is nested, or calls itself, more than ${maxDepth} deep`)
    },
    leave() {
      depth--
    },
  }
}

export const templateLimit = (why: string) => checkpointError(`chat template: stopped, because ${why}`, { file: 'chat template' })
