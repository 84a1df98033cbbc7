/**
 * Runs a compiled pattern by backtracking, as Oniguruma does, within a budget: the steps of all matches of one text are
 * counted, and a pattern that needs more than a multiple of the text's length is stopped by an error.
 */
import { type Instruction, type Pattern, stepsPerCharacter } from './compile-pattern.ts'

export interface Match {
  readonly start: number
  readonly end: number
}

/** Steps that any text may take. */
const freeSteps = 2 ** 14

/**
 * All matches from left to right, as the reference finds them (onig's `FindMatches`): an empty match right behind the
 * last one does not count. Positions are in UTF-16 units.
 *
 * @throws unsupported error when the budget is used up
 */
export function* findMatches(pattern: Pattern, text: string): Generator<Match> {
  const run = new Run(pattern, text)
  let from = 0
  let lastEnd = -1
  while (from <= text.length) {
    const match = run.search(from)
    if (!match) return
    if (match.start === match.end && match.end === lastEnd) {
      from += from < text.length ? unitsAt(text, from) : 1
      continue
    }
    from = match.end
    lastEnd = match.end
    yield match
  }
}

/** UTF-16 units of the character at a position. */
export const unitsAt = (text: string, at: number): number => (text.codePointAt(at)! > 0xffff ? 2 : 1)

class Run {
  readonly #pattern: Pattern
  readonly #program: readonly Instruction[]
  readonly #text: string
  #stepsLeft: number
  /** Where to go on after a failure: triples of instruction, position, and the smallest position to give back to. */
  #stack = new Int32Array(3 * 64)

  constructor(pattern: Pattern, text: string) {
    this.#pattern = pattern
    this.#program = pattern.program
    this.#text = text
    this.#stepsLeft = freeSteps + stepsPerCharacter * text.length
  }

  search(from: number): Match | undefined {
    for (let start = from; start <= this.#text.length; start += start < this.#text.length ? unitsAt(this.#text, start) : 1) {
      const end = this.#match(0, start, 0)
      if (end >= 0) return { start, end }
    }
    return undefined
  }

  /** Where the match from `at` ends, -1 if there is none. `base`: height of the stack that belongs to the callers. */
  #match(first: number, at: number, base: number): number {
    const text = this.#text
    const program = this.#program
    let top = base
    let pc = first
    let pos = at
    let steps = this.#stepsLeft
    const push = (instruction: number, position: number, smallest: number) => {
      if (top + 3 > this.#stack.length) {
        const grown = new Int32Array(2 * this.#stack.length)
        grown.set(this.#stack)
        this.#stack = grown
      }
      this.#stack[top++] = instruction
      this.#stack[top++] = position
      this.#stack[top++] = smallest
    }
    for (;;) {
      if (--steps < 0) throw this.#pattern.outOfSteps(text.length)
      const instruction = program[pc]!
      let ok = true
      switch (instruction.op) {
        case 'match':
          this.#stepsLeft = steps
          return pos
        case 'set':
          if (pos < text.length && instruction.set(text.codePointAt(pos)!)) {
            pos += unitsAt(text, pos)
            pc++
          } else ok = false
          break
        case 'setBefore': {
          const before = pos > 0 ? pos - unitsBefore(text, pos) : -1
          if (before >= 0 && instruction.set(text.codePointAt(before)!)) {
            pos = before
            pc++
          } else ok = false
          break
        }
        case 'run': {
          let count = 0
          let smallest = pos
          while (pos < text.length) {
            const code = text.codePointAt(pos)!
            if (!instruction.set(code)) break
            pos += code > 0xffff ? 2 : 1
            if (++count === instruction.min) smallest = pos
          }
          steps -= count
          if (count < instruction.min) ok = false
          else {
            pc++
            if (pos > smallest) push(pc, pos, smallest)
          }
          break
        }
        case 'split':
          push(instruction.second, pos, pos)
          pc = instruction.first
          break
        case 'jump':
          pc = instruction.to
          break
        case 'assert':
          if (holds(instruction, text, pos) !== instruction.negate) pc++
          else ok = false
          break
        case 'look':
        case 'atomic': {
          this.#stepsLeft = steps
          const end = this.#match(pc + 1, pos, top)
          steps = this.#stepsLeft
          if (end >= 0 === instruction.negate) ok = false
          else {
            pc = instruction.next
            if (instruction.op === 'atomic') pos = end
          }
          break
        }
      }
      if (ok) continue
      if (top === base) {
        this.#stepsLeft = steps
        return -1
      }
      const smallest = this.#stack[top - 1]!
      pc = this.#stack[top - 3]!
      pos = this.#stack[top - 2]!
      if (pos > smallest) {
        // A run gives back one character; the entry stays while there are more.
        pos -= unitsBefore(text, pos)
        this.#stack[top - 2] = pos
        if (pos <= smallest) top -= 3
      } else top -= 3
    }
  }
}

/** UTF-16 units of the character before a position. */
export function unitsBefore(text: string, pos: number): number {
  const unit = text.charCodeAt(pos - 1)
  return unit >= 0xdc00 && unit <= 0xdfff && pos > 1 ? 2 : 1
}

function holds({ kind, word }: Instruction & { op: 'assert' }, text: string, pos: number): boolean {
  const atEnd = pos === text.length
  switch (kind) {
    case 'string_start':
      return pos === 0
    case 'string_end':
      return atEnd
    case 'string_end_newline':
      return atEnd || (pos === text.length - 1 && text[pos] === '\n')
    case 'line_start':
      return pos === 0 || (!atEnd && text[pos - 1] === '\n')
    case 'line_end':
      return atEnd || text[pos] === '\n'
    case 'word_boundary': {
      const before = pos > 0 && word!(text.codePointAt(pos - unitsBefore(text, pos))!)
      return before !== (!atEnd && word!(text.codePointAt(pos)!))
    }
  }
}
