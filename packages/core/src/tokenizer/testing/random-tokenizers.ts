/** Random tokenizers of every kind that models are published with, and random texts, both from a seed. */
import type { SmallRandom as Random } from '../../testing/small-random.ts'
import { readFixture } from './fixtures.ts'

interface Json {
  readonly [key: string]: unknown
}
interface TokenizerFile extends Json {
  readonly model: Json & { readonly vocab: Record<string, number> }
  readonly added_tokens: readonly Json[]
}
const base = (name: string) => readFixture(`${name}.tokenizer.json`) as TokenizerFile

const split = (pattern: Json, behavior = 'Isolated', invert = false): Json => ({ type: 'Split', pattern, behavior, invert })
const regex = (source: string, behavior?: string, invert?: boolean): Json => split({ Regex: source }, behavior, invert)
const bytes: Json = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false }
const cuts = (...pretokenizers: Json[]): Json => ({ type: 'Sequence', pretokenizers })
const steps = (...normalizers: Json[]): Json => ({ type: 'Sequence', normalizers })
const replace = (pattern: Json, content: string): Json => ({ type: 'Replace', pattern, content })
const template = (token: string, id: number): Json => ({
  type: 'TemplateProcessing',
  single: [
    { SpecialToken: { id: token, type_id: 0 } },
    { Sequence: { id: 'A', type_id: 0 } },
    { SpecialToken: { id: token, type_id: 0 } },
  ],
  pair: [{ Sequence: { id: 'A', type_id: 0 } }, { Sequence: { id: 'B', type_id: 0 } }],
  special_tokens: { [token]: { id: token, ids: [id], tokens: [token] } },
})

// GPT-4o's (openai/gpt-oss-20b), DeepSeek-V3's and Qwen2.5's possessive sibling, as their tokenizer.json have them.
const o200k = [
  "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
  "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
  '\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+',
].join('|')
const deepseek = [
  regex('\\p{N}{1,3}'),
  regex('[一-龥぀-ゟ゠-ヿ]+'),
  regex(
    '[!"#$%&\'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+',
  ),
]
const possessive =
  "'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}++|\\p{N}{1,3}+| ?[^\\s\\p{L}\\p{N}]++[\\r\\n]*+|\\s++$|\\s*[\\r\\n]|\\s+(?!\\S)|\\s"

const llama = base('llama-spm')
const withBytes = { type: 'Sequence', decoders: [replace({ String: '▁' }, ' '), { type: 'ByteFallback' }, { type: 'Fuse' }] }
const oldMetaspace = (scheme: string, spread: boolean): Json => ({
  type: 'Metaspace',
  replacement: '▁',
  prepend_scheme: scheme,
  split: spread,
})

/** Twelve kinds of tokenizer, by the models that have them. */
const kinds: Readonly<Record<string, (random: Random) => TokenizerFile>> = {
  'GPT-2': () => base('gpt2'),
  'RoBERTa, prefix space': () => ({
    ...base('gpt2'),
    pre_tokenizer: { ...bytes, add_prefix_space: true, use_regex: true },
    post_processor: { type: 'RobertaProcessing', sep: ['b', 2], cls: ['a', 1], trim_offsets: true, add_prefix_space: true },
  }),
  'Qwen2, any Unicode form': (random) => ({
    ...base('qwen2'),
    normalizer: random.pick([{ type: 'NFC' }, { type: 'NFKC' }, { type: 'NFD' }, { type: 'NFKD' }]),
  }),
  'Llama 3': () => ({ ...base('llama3'), post_processor: template('<|begin_of_text|>', 5) }),
  SmolLM2: () => base('smollm'),
  'o200k, DeepSeek, possessive': (random) => ({
    ...base('llama3'),
    pre_tokenizer: random.pick([cuts(regex(o200k), bytes), cuts(...deepseek, bytes), cuts(regex(possessive), bytes)]),
  }),
  'Llama 2': () => llama,
  Gemma: () => ({
    ...llama,
    normalizer: replace({ String: ' ' }, '▁'),
    pre_tokenizer: split({ String: ' ' }, 'MergedWithPrevious'),
    decoder: withBytes,
  }),
  'Mistral, Metaspace': (random) => ({
    ...llama,
    normalizer: null,
    pre_tokenizer: oldMetaspace(random.pick(['first', 'always', 'never']), random.chance(0.5)),
    decoder: random.chance(0.5) ? llama.decoder : oldMetaspace(random.pick(['first', 'always', 'never']), true),
  }),
  'T5-like normalizers': (random) => ({
    ...llama,
    normalizer: steps(
      random.pick([{ type: 'NFKC' }, { type: 'NFKD' }, { type: 'Lowercase' }]),
      random.pick([
        { type: 'Strip', strip_left: true, strip_right: random.chance(0.5) },
        { type: 'StripAccents' },
        { type: 'Lowercase' },
      ]),
      replace({ Regex: random.pick([' {2,}', '\\s+', '[\\p{P}&&[^.]]+', '(?<=\\d)[,.](?=\\d)']) }, random.pick([' ', '', '▁'])),
    ),
    pre_tokenizer: oldMetaspace(random.pick(['first', 'always']), true),
  }),
  'no byte fallback': (random) => ({
    ...llama,
    model: { ...llama.model, byte_fallback: false, fuse_unk: random.chance(0.5), unk_token: random.chance(0.7) ? '<unk>' : null },
  }),
  'every kind of cut': (random) => ({
    ...base('qwen2'),
    pre_tokenizer: cuts(
      regex(
        random.pick([
          '\\s+',
          '\\p{L}+',
          '\\d',
          '\\w+|[^\\w\\s]+',
          '\\b',
          '(?i:the|a+)',
          'x*',
          '^.|.$',
          '[[:alpha:]]+?',
          '(?>\\p{L}+)\\d',
          '\\p{Han}|[^a-z]',
        ]),
        random.pick(['Isolated', 'Removed', 'Contiguous', 'MergedWithPrevious', 'MergedWithNext']),
        random.chance(0.3),
      ),
      { type: 'Digits', individual_digits: random.chance(0.5) },
      bytes,
    ),
  }),
}
export const tokenizerKinds = Object.keys(kinds)

const addedSpellings = [
  '<mk>',
  '[TOOL]',
  'hello!',
  'Größe!',
  'e\u0301',
  'the',
  ' and',
  '  ',
  '日本',
  '<|x|>',
  '<|x|>y',
  'A\u030A',
  '１２',
  '😀',
  '\n',
  'İx',
]

/** A tokenizer of the kind, with added tokens of every kind of flags. */
export function randomTokenizer(kind: string, random: Random): TokenizerFile {
  const json = kinds[kind]!(random)
  const next = Math.max(...Object.values(json.model.vocab), ...json.added_tokens.map((token) => token.id as number)) + 1
  const spellings = addedSpellings.filter((content) => random.chance(0.4) && json.model.vocab[content] === undefined)
  const added = spellings.map((content, i) => ({
    id: next + i,
    content,
    single_word: random.chance(0.25),
    lstrip: random.chance(0.25),
    rstrip: random.chance(0.25),
    normalized: random.chance(0.5),
    special: random.chance(0.4),
  }))
  return { ...json, added_tokens: [...json.added_tokens, ...added] }
}

const words =
  "The capital of Größe naïve don't WE'LL 12,345.67 x=f(a_1); def main(): // — “quoted” 日本語 한국어 العربية עברית हिन्दी ไทย 😀 👨‍👩‍👧 🇩🇪 ñ ﬁ Ⅷ ½ ① ＡＢＣ ǆ ß İstanbul ſ K the and hello! <mk> [TOOL] <|x|>y <s> </s> <|im_end|> <|endoftext|> ▁ <0x41> <unk>".split(
    ' ',
  )
const spaces = [
  ' ',
  '  ',
  '\t',
  '\n',
  '\r\n',
  '\n\n',
  '\u00a0',
  '\u3000',
  '\u0085',
  '\u2028',
  '\u200b',
  '\ufeff',
  ' \n ',
  '     ',
]
const blocks: readonly (readonly [number, number])[] = [
  [0x00, 0x1f],
  [0x20, 0x7e],
  [0x20, 0x7e],
  [0x7f, 0xff],
  [0x100, 0x24f],
  [0x300, 0x36f],
  [0x370, 0x5ff],
  [0x600, 0x6ff],
  [0x900, 0xd7f],
  [0x1100, 0x11ff],
  [0x1e00, 0x1fff],
  [0x2000, 0x2bff],
  [0x3000, 0x30ff],
  [0x4e00, 0x9fff],
  [0xac00, 0xd7a3],
  [0xf900, 0xfaff],
  [0xfb00, 0xfffd],
  [0x10000, 0x1ffff],
  [0x1d100, 0x1d7ff],
  [0x1f300, 0x1faff],
  [0x20000, 0x2ffff],
  [0xe0000, 0xe01ef],
  [0, 0xd7ff],
  [0xe000, 0x10ffff],
]

/** A text of words, code, white space, spelled tokens and characters of every block; well-formed. */
export function randomText(random: Random): string {
  const parts: string[] = []
  for (let i = random.below(24); i >= 0; i--) {
    const kind = random.below(6)
    if (kind < 2) parts.push(random.pick(words))
    else if (kind === 2) parts.push(random.pick(spaces))
    else if (kind === 3) parts.push(random.pick(addedSpellings))
    else if (kind === 4) parts.push(String(random.below(10 ** random.below(9))))
    else {
      const [first, last] = random.pick(blocks)
      for (let n = random.below(5); n >= 0; n--) parts.push(String.fromCodePoint(first + random.below(last - first + 1)))
    }
    if (random.chance(0.5)) parts.push(' ')
  }
  return parts.join('')
}

const atoms = [
  'a',
  'b',
  '\\.',
  '.',
  '\\s',
  '\\S',
  '\\d',
  '\\w',
  '\\W',
  '\\h',
  '\\n',
  '[ab]',
  '[^a]',
  '[a-c]',
  '[\\w&&[^b]]',
  '\\p{L}',
  '\\P{L}',
  '\\p{Lu}',
  '[^\\s\\p{L}]',
  '[[:alpha:]]',
  '[[:^digit:]]',
  '\\x{e9}',
  '\\u00e9',
  '日',
  '😀',
]
const assertions = ['\\b', '\\B', '^', '$', '\\A', '\\z', '\\Z', '(?=a)', '(?!\\S)', '(?<=a)', '(?<!\\s)', '(?<=ab|c)']
const quantifiers = ['*', '+', '?', '{2}', '{1,3}', '{,2}', '{2,}', '*?', '+?', '??', '{1,2}?', '*+', '++', '?+', '{2}+', '{2}?']

/** An Oniguruma pattern of the kinds that `compile-pattern.ts` takes. */
export function randomPattern(random: Random, depth = 2): string {
  const part = (): string => {
    if (random.chance(0.15)) return random.pick(assertions)
    const group = depth > 0 && random.chance(0.3)
    const inner = group
      ? `${random.pick(['(', '(?:', '(?>', '(?i:', '(?m:'])}${randomPattern(random, depth - 1)})`
      : random.pick(atoms)
    return random.chance(0.5) ? inner + random.pick(quantifiers) : inner
  }
  const sequence = (): string => Array.from({ length: 1 + random.below(3) }, part).join('')
  return Array.from({ length: 1 + random.below(3) }, sequence).join('|')
}

const letters = [
  'a',
  'b',
  'c',
  'A',
  'B',
  'aa',
  'ab',
  ' ',
  '  ',
  '\n',
  '.',
  '1',
  '23',
  'é',
  '日',
  '😀',
  '_',
  '²',
  '\u0301',
  '\u3000',
]
export const patternText = (random: Random): string =>
  Array.from({ length: random.below(14) }, () => random.pick(letters)).join('')
