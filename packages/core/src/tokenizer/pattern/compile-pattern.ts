/**
 * Regular expressions of tokenizer.json, in the syntax of Oniguruma (which the reference, huggingface/tokenizers, uses),
 * compiled into instructions for `match-pattern.ts`. What cannot be run exactly is refused by name.
 */
import {
  type AlternativeElementNode,
  type AlternativeNode,
  type GroupNode,
  parse,
  type QuantifierNode,
} from 'oniguruma-parser/parser'
import { checkpointError, isParscaleError, type ParscaleError, unsupportedError } from '../../errors.ts'
import { type CharacterSet, characterSet, type SetFlags, type SetNode } from './character-set.ts'

export type Instruction =
  | { readonly op: 'set' | 'setBefore'; readonly set: CharacterSet }
  /** Takes as many characters of the set as there are, at least `min`, and gives them back one by one. */
  | { readonly op: 'run'; readonly set: CharacterSet; readonly min: number }
  /** Goes on at `first`; if that fails, at `second`. */
  | { readonly op: 'split'; first: number; second: number }
  | { readonly op: 'jump'; to: number }
  | { readonly op: 'assert'; readonly kind: AssertKind; readonly negate: boolean; readonly word: CharacterSet | undefined }
  /** Tries the instructions that follow, up to their `match`; an atomic group goes on where they ended. */
  | { readonly op: 'look' | 'atomic'; readonly negate: boolean; next: number }
  | { readonly op: 'match' }
const assertKinds = ['line_end', 'line_start', 'string_end', 'string_end_newline', 'string_start', 'word_boundary'] as const
type AssertKind = (typeof assertKinds)[number]

export interface Pattern {
  readonly source: string
  readonly program: readonly Instruction[]
  /** Names pattern and file where a text makes the matcher run out of steps. */
  readonly outOfSteps: (characters: number) => ParscaleError
}

/** Longest program, and most sets of characters (each has a table of 64 KB). Published patterns have about 60 and 30. */
const maxInstructions = 4096
const maxSets = 256

/**
 * @param file names the pattern's file in errors
 * @throws checkpoint error for a pattern with faults; unsupported error naming what cannot be run
 */
export function compilePattern(source: string, file: string): Pattern {
  const shown = JSON.stringify(source.length > 100 ? `${source.slice(0, 100)}…` : source)
  const refuse = (what: string): never => {
    throw unsupportedError(`${file}: the regular expression ${shown} uses ${what}, which is not supported`, { file, found: what })
  }
  const program = readPattern(source, shown, file, refuse)
  const outOfSteps = (characters: number): ParscaleError =>
    unsupportedError(
      `${file}: the regular expression ${shown} takes more than ${stepsPerCharacter} steps a character on a text of ${characters} characters; it was stopped. Use a tokenizer.json whose pattern does not backtrack that much`,
      { file, found: source },
    )
  return { source, program, outOfSteps }
}

/** A text of n characters may take this many steps times n, and some to begin with. */
export const stepsPerCharacter = 256

function readPattern(source: string, shown: string, file: string, refuse: (what: string) => never): Instruction[] {
  try {
    const { body, flags } = parse(source, { flags: '' })
    if (flags.extended) refuse('extended syntax')
    return emitPattern(source, body, refuse)
  } catch (cause) {
    if (isParscaleError(cause)) throw cause
    const reason = cause instanceof RangeError ? 'it is nested too deep' : (cause as Error).message
    throw checkpointError(`${file}: the regular expression ${shown} cannot be read: ${reason}`, { file, cause })
  }
}

interface Mode extends SetFlags {
  /** Inside a lookbehind: the parts are matched from last to first. */
  readonly backwards: boolean
}

function emitPattern(source: string, body: readonly AlternativeNode[], refuse: (what: string) => never): Instruction[] {
  const program: Instruction[] = []
  const sets = new Map<string, CharacterSet>()

  function add<T extends Instruction>(instruction: T): T {
    if (program.push(instruction) > maxInstructions) refuse(`more than ${maxInstructions} instructions`)
    return instruction
  }
  const here = (): number => program.length

  function setOf(node: SetNode, mode: Mode): CharacterSet {
    const key = JSON.stringify([node, mode.ignoreCase, mode.dotAll])
    const found = sets.get(key) ?? characterSet(node, mode, refuse)
    if (sets.set(key, found).size > maxSets) refuse(`more than ${maxSets} sets of characters`)
    return found
  }

  function alternatives(list: readonly AlternativeNode[], mode: Mode): void {
    const ends: { to: number }[] = []
    list.forEach((alternative, i) => {
      const split = i < list.length - 1 ? add({ op: 'split', first: here() + 1, second: 0 }) : undefined
      sequence(alternative.body, mode)
      if (!split) return
      ends.push(add({ op: 'jump', to: 0 }))
      split.second = here()
    })
    for (const end of ends) end.to = here()
  }

  function sequence(elements: readonly AlternativeElementNode[], outer: Mode): void {
    let mode = outer
    checkFolding(elements, mode)
    const parts = elements.map((element) => {
      if (element.type === 'Directive' && element.kind === 'flags') mode = withFlags(mode, element.flags)
      return { element, mode }
    })
    for (const part of outer.backwards ? parts.reverse() : parts) one(part.element, part.mode)
  }

  /** Oniguruma lets two letters match one that folds into them: `st` the ligature U+FB06. */
  function checkFolding(elements: readonly AlternativeElementNode[], mode: Mode): void {
    if (!mode.ignoreCase) return
    const text = elements.map((each) => (each.type === 'Character' ? String.fromCodePoint(each.value) : '\0')).join('')
    if (/ss|ff|fi|fl|st/i.test(text)) refuse('(?i) with letters that one character may stand for')
  }

  function one(node: AlternativeElementNode, mode: Mode): void {
    switch (node.type) {
      case 'Character':
      case 'CharacterClass':
      case 'CharacterSet':
        add({ op: mode.backwards ? 'setBefore' : 'set', set: setOf(node, mode) })
        return
      case 'Group':
        if (node.atomic) inner('atomic', false, node.body, mode)
        else alternatives(node.body, withFlags(mode, node.flags))
        return
      case 'CapturingGroup':
        alternatives(node.body, mode)
        return
      case 'LookaroundAssertion':
        inner('look', node.negate, node.body, { ...mode, backwards: node.kind === 'lookbehind' })
        return
      case 'Quantifier':
        quantifier(node, mode)
        return
      case 'Assertion': {
        const { kind, negate = false } = node
        const known = assertKinds.find((each) => each === kind)
        if (!known) {
          refuse(kind === 'search_start' ? '\\G' : '\\y')
          break
        }
        const word = kind === 'word_boundary' ? setOf({ type: 'CharacterSet', kind: 'word', negate: false }, mode) : undefined
        add({ op: 'assert', kind: known, negate, word })
        return
      }
      case 'Directive':
        if (node.kind !== 'flags') refuse('\\K')
        return
      default:
        refuse(
          { AbsenceFunction: '(?~...)', Backreference: 'a backreference', NamedCallout: 'a callout', Subroutine: '\\g' }[
            node.type
          ],
        )
    }
  }

  function inner(op: 'look' | 'atomic', negate: boolean, body: readonly AlternativeNode[], mode: Mode): void {
    if (op === 'atomic' && mode.backwards) refuse('an atomic group inside a lookbehind')
    const start = add({ op, negate, next: 0 })
    alternatives(body, mode)
    add({ op: 'match' })
    start.next = here()
  }

  function quantifier({ kind, min, max: end, body }: QuantifierNode, mode: Mode): void {
    const max = end ?? Number.POSITIVE_INFINITY
    if (kind === 'possessive') {
      const greedy: QuantifierNode = { type: 'Quantifier', kind: 'greedy', min, max, body }
      inner('atomic', false, [{ type: 'Alternative', body: [greedy] }], mode)
      return
    }
    if (kind === 'lazy' && min === max) {
      // Oniguruma's {n}? is not lazy, it is {n} or nothing.
      if (/\{(\d+),\1\}\?/.test(source)) refuse('{n,n}?')
      const exact: QuantifierNode = { type: 'Quantifier', kind: 'greedy', min, max, body }
      quantifier({ type: 'Quantifier', kind: 'greedy', min: 0, max: 1, body: exact }, mode)
      return
    }
    const isSet =
      body.type === 'Character' || body.type === 'CharacterClass' || (body.type === 'CharacterSet' && !body.variableLength)
    if (isSet && kind === 'greedy' && max === Number.POSITIVE_INFINITY && !mode.backwards) {
      add({ op: 'run', set: setOf(body as SetNode, mode), min })
      return
    }
    for (let i = 0; i < min; i++) one(body, mode)
    if (max === Number.POSITIVE_INFINITY) {
      const split = add({ op: 'split', first: 0, second: 0 })
      const again = here() - 1
      const start = here()
      one(body, mode)
      if (mayBeEmpty(body)) refuse('the repetition of a part that may match nothing')
      add({ op: 'jump', to: again })
      link(split, kind, start)
      return
    }
    const splits: { split: { first: number; second: number }; start: number }[] = []
    for (let i = min; i < max; i++) {
      const split = add({ op: 'split', first: 0, second: 0 })
      splits.push({ split, start: here() })
      one(body, mode)
    }
    for (const { split, start } of splits) link(split, kind, start)
  }

  function link(split: { first: number; second: number }, kind: string, start: number): void {
    ;[split.first, split.second] = kind === 'lazy' ? [here(), start] : [start, here()]
  }

  alternatives(body, { ignoreCase: false, dotAll: false, backwards: false })
  add({ op: 'match' })
  return program
}

function withFlags(mode: Mode, flags: GroupNode['flags']): Mode {
  const { enable, disable } = flags ?? {}
  const flag = (key: 'ignoreCase' | 'dotAll') => (mode[key] || enable?.[key] === true) && disable?.[key] !== true
  return { ...mode, ignoreCase: flag('ignoreCase'), dotAll: flag('dotAll') }
}

function mayBeEmpty(node: AlternativeElementNode): boolean {
  if (node.type === 'Quantifier')
    return node.min === 0 || (node.kind === 'lazy' && node.min === node.max) || mayBeEmpty(node.body)
  if (node.type !== 'Group' && node.type !== 'CapturingGroup')
    return !['Character', 'CharacterClass', 'CharacterSet'].includes(node.type)
  return node.body.some((alternative) => alternative.body.every(mayBeEmpty))
}
