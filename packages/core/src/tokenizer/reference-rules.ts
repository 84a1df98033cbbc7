/**
 * Where `@huggingface/tokenizers` 0.2 reads a part of tokenizer.json differently from the Rust reference (`tokenizers`),
 * the part is rewritten here into one that both read alike. Parts that cannot be made to agree are refused by name.
 */
import { checkpointError, unsupportedError } from '../errors.ts'
import type { Component } from './tokenizer-json.ts'

/** GPT-2's words. The library's own copy of it uses JavaScript's `\s`, which has U+FEFF and lacks U+0085. */
export const gpt2Pattern = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"

/** Cuts text into the matches of a pattern and what lies between them. */
export const isolate = (pattern: string): Component => ({
  type: 'Split',
  pattern: { Regex: pattern },
  behavior: 'Isolated',
  invert: false,
})

export const sequence = (pretokenizers: Component[]): Component => ({ type: 'Sequence', pretokenizers })

/** A character as a regular expression writes it, whatever it means there. */
const codeOf = (character: string): string => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`

/** Writes each byte as a character, and cuts nothing. */
export const bytesOnly: Component = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false }

type Rewrite = (part: Component, file: string) => Component

const preTokenizers: Readonly<Record<string, Rewrite>> = {
  Sequence: (part, file) =>
    sequence((part.pretokenizers ?? []).map((inner) => exact(preTokenizers, 'pre_tokenizer', inner, file))),
  ByteLevel: (part) => {
    if (part.use_regex === false || part.add_prefix_space) return part
    return sequence([isolate(gpt2Pattern), bytesOnly])
  },
  // The library's digits are 0-9; the reference's are Rust's `char::is_numeric`, which is \p{N}.
  Digits: (part) => isolate(part.individual_digits ? '\\p{N}' : '\\p{N}+'),
  // The library does not read `split` (true by default) nor the older key `add_prefix_space`.
  Metaspace: (part) => {
    const mark = part.replacement ?? '▁'
    const scheme = part.prepend_scheme ?? (part.add_prefix_space === false ? 'never' : 'always')
    const mapped = { ...part, replacement: mark, prepend_scheme: scheme }
    return part.split === false ? mapped : sequence([mapped, isolate(`${codeOf(mark)}[^${codeOf(mark)}]*`)])
  },
  Split: (part, file) => {
    need(part, 'pattern', file)
    const { behavior, invert } = part
    if ((behavior === 'Isolated' && !invert) || behavior === 'Removed') return part
    throw unsupported(file, `pre_tokenizer "Split" with behavior "${behavior}"${invert ? ', inverted' : ''}`)
  },
}

const normalizers: Readonly<Record<string, Rewrite>> = {
  Sequence: (part, file) => ({
    ...part,
    normalizers: (part.normalizers ?? []).map((inner) => exact(normalizers, 'normalizer', inner, file)),
  }),
  NFC: (part) => part,
  NFD: (part) => part,
  NFKC: (part) => part,
  NFKD: (part) => part,
  Prepend: (part, file) => need(part, 'prepend', file),
  Replace: (part, file) => need(need(part, 'pattern', file), 'content', file),
}

/** @throws unsupported error naming the pre-tokenizer */
export function exactPreTokenizer(part: Component | null, file: string): Component | null {
  return part && exact(preTokenizers, 'pre_tokenizer', part, file)
}

/** @throws unsupported error naming the normalizer */
export function exactNormalizer(part: Component | null, file: string): Component | null {
  return part && exact(normalizers, 'normalizer', part, file)
}

function exact(rules: Readonly<Record<string, Rewrite>>, kind: string, part: Component, file: string): Component {
  const rewrite = Object.hasOwn(rules, part.type) ? rules[part.type] : undefined
  if (!rewrite) throw unsupported(file, `${kind} "${part.type}"`, Object.keys(rules))
  return rewrite(part, file)
}

function need(part: Component, key: 'pattern' | 'content' | 'prepend', file: string): Component {
  if (part[key] !== undefined) return part
  throw checkpointError(`${file}: "${part.type}" needs a ${key}`, { file, expected: key })
}

function unsupported(file: string, what: string, known?: readonly string[]) {
  const hint = known ? `; supported are ${known.join(', ')}` : ''
  return unsupportedError(`${file}: ${what} is not supported${hint}`, { file, found: what })
}
