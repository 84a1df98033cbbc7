/**
 * A tokenizer from Hugging Face files. Normalising, cutting and merging are `@huggingface/tokenizers`' work; here is what
 * decides which spellings count as special tokens, and the way back to text.
 */
import { checkpointError } from '../errors.ts'
import { openLibraryTokenizer } from './library-tokenizer.ts'
import { parseDecoder } from './piece-decoder.ts'
import { parsePostProcessor } from './post-processor.ts'
import { specialTokens } from './special-tokens.ts'
import { createStreamDecoder, visibleText } from './stream-decoder.ts'
import { parseTokenizerJson } from './tokenizer-json.ts'
import type { DecodeOptions, Tokenizer, TokenizerFiles } from './types.ts'

/**
 * A tokenizer from a model's tokenizer.json and tokenizer_config.json.
 *
 * @param name names the tokenizer's folder or file in errors
 * @throws checkpoint error for a missing or damaged tokenizer.json; unsupported error naming the part we cannot run
 */
export function createTokenizer(files: TokenizerFiles, name = 'tokenizer.json'): Tokenizer {
  if (files.tokenizerJson === undefined || files.tokenizerJson === null) {
    throw checkpointError(`${name}: there is no tokenizer; a model that reads text needs tokenizer.json`, { file: name })
  }
  const json = parseTokenizerJson(files.tokenizerJson, name)
  const decoder = parseDecoder(json.decoder, name)
  const { before, after } = parsePostProcessor(json.postProcessor, name)
  const specials = specialTokens(json.addedTokens.filter((token) => token.special))
  const ordinary = json.addedTokens.filter((token) => !token.special)
  const library = openLibraryTokenizer(json, [...ordinary, ...specials.aliased], name)

  const pieces: string[] = []
  const ids = new Map<string, number>()
  for (const [piece, id] of [...Object.entries(json.model.vocab), ...json.addedTokens.map((t) => [t.content, t.id] as const)]) {
    pieces[id] = piece
    ids.set(piece, id)
  }
  const specialIds = new Set(json.addedTokens.filter((token) => token.special).map((token) => token.id))
  const unknownId = json.model.unkToken === undefined ? undefined : ids.get(json.model.unkToken)

  /** Merges may spell a special token out of ordinary text. Such a one is taken apart into its characters. */
  const isMadeUp = (id: number, token: string): boolean => specialIds.has(id) && id !== unknownId && !specials.isAlias(token)
  const characters = (id: number): number[] => library.model.encode([...pieces[id]!]).flatMap((piece) => ids.get(piece) ?? [])

  const idOfName = (key: string): number | undefined => ids.get(tokenName(files.tokenizerConfig, key) ?? '')
  const streamDecoder = (options?: DecodeOptions) =>
    createStreamDecoder(decoder, (id) => (options?.skipSpecial && specialIds.has(id) ? undefined : pieces[id]))

  return {
    vocabSize: pieces.length,
    bosTokenId: idOfName('bos_token') ?? null,
    eosTokenIds: [idOfName('eos_token')].filter((id) => id !== undefined),
    specialTokens: specials.aliased.map((token) => pieces[token.id]!),
    encode(text, { allowSpecial = false, addSpecial = true, isSpecial } = {}) {
      const wellFormed = text.replace(/\p{Cs}/gu, '\uFFFD')
      const marked = allowSpecial ? specials.mark(wellFormed, isSpecial) : wellFormed
      const { ids: encoded, tokens } = library.encode(marked, { add_special_tokens: false })
      const safe = encoded.flatMap((id, i) => (isMadeUp(id, tokens[i]!) ? characters(id) : id))
      return addSpecial ? [...before, ...safe, ...after] : safe
    },
    decode(tokens, options) {
      const stream = streamDecoder(options)
      return tokens.map((id) => stream.push(id)).join('') + stream.flush()
    },
    streamDecoder,
    tokenText(id) {
      const piece = pieces[id]
      return piece === undefined ? '' : visibleText(decoder.bytes(piece, false))
    },
    idOf: (token) => ids.get(token),
    isSpecial: (id) => specialIds.has(id),
  }
}

/** `bos_token` and the like: the token itself, or an object that holds it. */
export function tokenName(tokenizerConfig: unknown, key: string): string | undefined {
  const entry = (tokenizerConfig as Record<string, unknown> | null | undefined)?.[key]
  const content = typeof entry === 'object' && entry !== null ? (entry as { content?: unknown }).content : entry
  return typeof content === 'string' ? content : undefined
}
