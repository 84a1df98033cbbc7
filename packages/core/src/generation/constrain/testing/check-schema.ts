/** One schema against ajv: its instances, read byte by byte and token by token, and random texts along the masks. */
import { isParscaleError } from '../../../errors.ts'
import { createRandom, type Random } from '../../../random.ts'
import type { Tokenizer } from '../../../tokenizer/types.ts'
import { schemaGrammar } from '../compile.ts'
import { type GrammarConstraint, TokenGrammar } from '../constraint.ts'
import type { TokenVocabulary } from '../machine/vocabulary.ts'
import { judge } from './judge.ts'

export interface SchemaCase {
  readonly name: string
  readonly schema: unknown
  readonly tests: readonly { readonly valid: boolean; readonly data: unknown }[]
}

export interface SchemaReport {
  /** Why the schema is not supported. */
  readonly refused?: string
  readonly compileMs: number
  /** Whether ajv could read the schema; else the tests' own word counts. */
  readonly judged: boolean
  /** Readings of valid instances that were accepted, of invalid ones that were not, and random texts that are valid. */
  readonly valid: number
  readonly invalid: number
  readonly walked: number
  readonly wrong: readonly string[]
  /** Times of masks: of states seen first, and when the same texts were read again. */
  readonly coldMs: readonly number[]
  readonly warmMs: readonly number[]
}

export interface CheckOptions {
  readonly tokenizer: Tokenizer
  readonly vocabulary: TokenVocabulary
  readonly walks: number
  readonly seed: number
  /** Begins to measure; what it returns gives the milliseconds since. Default: the clock's. */
  readonly stopwatch?: () => () => number
}

const byClock = () => {
  const started = performance.now()
  return () => performance.now() - started
}

const utf8 = new TextEncoder()

export function checkSchema({ schema, tests }: SchemaCase, options: CheckOptions): SchemaReport {
  const { tokenizer, vocabulary, walks, seed, stopwatch = byClock } = options
  const sinceStart = stopwatch()
  const report = {
    judged: true,
    valid: 0,
    invalid: 0,
    walked: 0,
    wrong: [] as string[],
    coldMs: [] as number[],
    warmMs: [] as number[],
  }
  let grammar: TokenGrammar
  try {
    grammar = new TokenGrammar(schemaGrammar(schema), vocabulary)
  } catch (error) {
    if (!isParscaleError(error) || (error.kind !== 'unsupported' && error.kind !== 'usage')) throw error
    return { ...report, refused: error.message, compileMs: sinceStart() }
  }
  const compileMs = sinceStart()
  const validate = judge(schema)

  for (const { valid: said, data } of tests) {
    const valid = validate ? validate(data) : said
    for (const text of [JSON.stringify(data), JSON.stringify(data, null, 2)]) {
      const ids = tokenizer.encode(text, { addSpecial: false })
      const readings = {
        bytes: reads(grammar.constraint(), (constraint) => constraint.acceptBytes(utf8.encode(text))),
        tokens: reads(grammar.constraint(), (constraint) => readTokens(constraint, ids, report)),
      }
      for (const [how, accepted] of Object.entries(readings)) {
        if (accepted !== valid)
          report.wrong.push(`${accepted ? 'accepts an invalid' : 'refuses a valid'} instance by ${how}: ${text.slice(0, 300)}`)
        else report[valid ? 'valid' : 'invalid']++
      }
    }
  }
  for (let i = 0; i < walks; i++) {
    const { ids, error } = randomText(grammar, createRandom(1000 * seed + i), { stopwatch, times: report.coldMs })
    const text = decoded(vocabulary, ids)
    const fault = error ?? faultOf(text, validate)
    if (fault) report.wrong.push(`random text: ${fault}: ${text.slice(0, 300)}`)
    else report.walked++
    if (error) continue
    for (const measured of [undefined, { stopwatch, times: report.warmMs }])
      reads(grammar.constraint(), (constraint) => readTokens(constraint, ids, report, measured))
  }
  return { ...report, judged: validate !== undefined, compileMs }
}

function decoded(vocabulary: TokenVocabulary, ids: readonly number[]): string {
  return new TextDecoder('utf-8', { fatal: true }).decode(Uint8Array.from(ids.flatMap((id) => [...vocabulary.bytesOf(id)!])))
}

function faultOf(text: string, validate: ReturnType<typeof judge>): string | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return validate && !validate(value) ? 'ajv calls it invalid' : undefined
  } catch {
    return 'it is no JSON'
  }
}

function reads(constraint: GrammarConstraint, read: (constraint: GrammarConstraint) => void): boolean {
  try {
    read(constraint)
    return constraint.mayEnd
  } catch (error) {
    if (!isParscaleError(error)) throw error
    return false
  }
}

/** Where times of masks go, and what measures them. */
interface Measured {
  readonly stopwatch: () => () => number
  readonly times: number[]
}

/** Masks and `accept` must say the same. */
function readTokens(
  constraint: GrammarConstraint,
  ids: readonly number[],
  report: { wrong: string[] },
  measured?: Measured,
): void {
  for (const id of ids) {
    const elapsed = measured?.stopwatch()
    const mask = constraint.allowed()
    if (elapsed) measured!.times.push(elapsed())
    const isAllowed = ((mask[id >> 5]! >>> (id & 31)) & 1) === 1
    let accepts = true
    try {
      constraint.accept(id)
    } catch (error) {
      accepts = false
      throw error
    } finally {
      if (accepts !== isAllowed) report.wrong.push(`token ${id}: the mask says ${isAllowed}, accept ${accepts}`)
    }
  }
}

/** Tokens drawn alike among those allowed; after some, the text goes the short way to its end. */
function randomText(grammar: TokenGrammar, random: Random, { stopwatch, times }: Measured): { ids: number[]; error?: string } {
  const { vocabulary } = grammar
  const constraint = grammar.constraint()
  const ids: number[] = []
  const most = 20 + random.below(80)
  try {
    while (!constraint.done && ids.length < most) {
      const elapsed = stopwatch()
      const mask = constraint.allowed()
      times.push(elapsed())
      let id = drawn(mask, random)
      // Blanks are many and say little.
      for (let i = 0; i < 3 && vocabulary.bytesOf(id)?.every((byte) => byte <= 0x20); i++) id = drawn(mask, random)
      if (vocabulary.endIds.includes(id)) return { ids }
      constraint.accept(id)
      ids.push(id)
    }
    for (const byte of constraint.ending()) {
      const id = byteTokens(vocabulary)[byte]!
      if (((constraint.allowed()[id >> 5]! >>> (id & 31)) & 1) === 0)
        return { ids, error: `byte ${byte}, which leads to the end, is not allowed` }
      constraint.accept(id)
      ids.push(id)
    }
    return constraint.mayEnd ? { ids } : { ids, error: 'it does not end' }
  } catch (error) {
    if (!isParscaleError(error)) throw error
    return { ids, error: error.message }
  }
}

function drawn(mask: Uint32Array, random: Random): number {
  let count = 0
  for (const word of mask) count += bitCount(word)
  let rest = random.below(count)
  for (let w = 0; w < mask.length; w++) {
    const count = bitCount(mask[w]!)
    if (rest >= count) {
      rest -= count
      continue
    }
    for (let bits = mask[w]!; bits !== 0; bits &= bits - 1) if (rest-- === 0) return 32 * w + 31 - Math.clz32(bits & -bits)
  }
  throw new Error('no token is allowed')
}

function bitCount(word: number): number {
  const pairs = word - ((word >>> 1) & 0x55555555)
  const fours = (pairs & 0x33333333) + ((pairs >>> 2) & 0x33333333)
  return Math.imul((fours + (fours >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24
}

const byByte = new WeakMap<TokenVocabulary, readonly number[]>()

/** The token of each byte. */
function byteTokens(vocabulary: TokenVocabulary): readonly number[] {
  let found = byByte.get(vocabulary)
  if (!found) {
    const ids: number[] = []
    for (let id = 0; id < vocabulary.size; id++) {
      const bytes = vocabulary.bytesOf(id)
      if (bytes?.length === 1) ids[bytes[0]!] = id
    }
    found = ids
    byByte.set(vocabulary, found)
  }
  return found
}
