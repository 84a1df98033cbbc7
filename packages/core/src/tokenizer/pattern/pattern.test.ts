/** Patterns of strangers: bounded in steps and size, and refused by name where they cannot be run exactly. */
import { describe, expect, it } from 'vitest'
import { isParscaleError } from '../../errors.ts'
import { compilePattern, type Instruction, type Pattern, stepsPerCharacter } from './compile-pattern.ts'
import { findMatches } from './match-pattern.ts'

/** The pattern, and how often it has asked a set about a character. */
function counted(source: string) {
  const count = { asked: 0 }
  const watch = (instruction: Instruction): Instruction =>
    'set' in instruction ? { ...instruction, set: (code) => ++count.asked > 0 && instruction.set(code) } : instruction
  const pattern = compilePattern(source, 'dir/tokenizer.json')
  return { count, pattern: { ...pattern, program: pattern.program.map(watch) } satisfies Pattern }
}

const errorOf = (work: () => unknown): Error & { kind?: string } => {
  try {
    work()
  } catch (error) {
    if (isParscaleError(error)) return error
    throw error
  }
  throw new Error('it was not refused')
}

describe('patterns that backtrack without end', () => {
  it.each([
    '(a+)+$',
    '(?:a|aa)+$',
    '(a|a)*b',
    '(?:a+){1,40}b',
    '(?=(?:a+)+b)a',
    '(?!(?:a+)+b).b',
    '(?<=b(?:a|a)+)!',
    'a*a*a*a*a*a*b',
  ])('%s', (source) => {
    const { count, pattern } = counted(source)
    const text = `${'a'.repeat(60)}!`
    const error = errorOf(() => [...findMatches(pattern, text)])
    expect(error.kind).toBe('unsupported')
    expect(error.message).toContain(`dir/tokenizer.json: the regular expression ${JSON.stringify(source)} takes more than`)
    expect(error.message).toMatch(/it was stopped\. Use a tokenizer\.json whose pattern/)
    expect(count.asked).toBeLessThanOrEqual(2 ** 14 + stepsPerCharacter * text.length + text.length)
  })
})

describe('published patterns take few steps', () => {
  const published = {
    'GPT-2': "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
    'Llama 3':
      "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
  }
  it.each(Object.entries(published))('%s', (_, source) => {
    for (const unit of ['a', 'A', ' ', '\n', ' \n', '1', '日', '.', "'s", '\u00a0', '😀', 'é!', 'e\u0301']) {
      const { count, pattern } = counted(source)
      const text = unit.repeat(20_000)
      let covered = 0
      for (const { start, end } of findMatches(pattern, text)) covered += end - start
      expect([unit, covered]).toEqual([unit, text.length])
      expect(count.asked).toBeLessThan(40 * text.length)
    }
  })
})

describe('what is refused by name', () => {
  it.each([
    ['(a)\\1', /uses a backreference,/],
    ['a\\Kb', /uses \\K,/],
    ['\\Ga', /uses \\G,/],
    ['\\X', /uses \\X,/],
    ['\\R', /uses \\R,/],
    ['(?~abc)', /uses \(\?~\.\.\.\),/],
    ['(?<n>a)\\g<n>', /uses \\g,/],
    ['(?i)é', /uses \(\?i\) with letters beyond ASCII,/],
    ['(?i:st)', /uses \(\?i\) with letters that one character may stand for,/],
    ['(?i)\\p{Lu}', /uses \(\?i\) with a property of letters,/],
    ['(?:a*)*', /uses the repetition of a part that may match nothing,/],
    ['\\p{InLatin}', /dir: the regular expression "\\\\p\{InLatin\}" /],
    ['[[:punct:]]', /uses \[:punct:\],/],
    ['(?:(?:(?:a{99}){99}){99}){99}', /uses more than 4096 instructions,/],
    [
      Array.from({ length: 300 }, (_, i) => `[a\\x{${(0x4e00 + i).toString(16)}}]`).join(''),
      /uses more than 256 sets of characters,/,
    ],
    ['('.repeat(50_000) + ')'.repeat(50_000), /cannot be read: it is nested too deep|uses more than/],
    ['(', /cannot be read: /],
    ['x{2,2}?', /uses \{n,n\}\?,/],
  ])('%.40s', (source, message) => {
    expect(errorOf(() => compilePattern(source, 'dir')).message).toMatch(message)
  })
})
