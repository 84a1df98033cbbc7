/**
 * A tokenizer from Hugging Face files: the reference (huggingface/tokenizers) in its steps. Added tokens are found, the
 * rest is normalized, cut into words and merged; ids become text again by the decoder.
 */

import { checkpointError } from '../errors.ts'
import { createBpe } from './bpe.ts'
import { byteCharacters } from './byte-level.ts'
import { parseNormalizer } from './normalizer.ts'
import { overlongError, overlongPrompt } from './overlong.ts'
import { parseDecoder } from './piece-decoder.ts'
import { parsePostProcessor } from './post-processor.ts'
import { parsePreTokenizer, spellBytes } from './pre-tokenizer.ts'
import { createStreamDecoder, visibleText } from './stream-decoder.ts'
import { isNormalized, textParts } from './text-parts.ts'
import { type AddedToken, parseTokenizerJson } from './tokenizer-json.ts'
import type { EncodeOptions, StreamDecodeOptions, Tokenizer, TokenizerFiles } from './types.ts'

/** Characters of words after which a long text lets others have their turn. */
const charactersPerTurn = 2 ** 16
/** A text that is longer than so many contexts is not encoded to its end; up to there its length is counted. */
const contextsEncoded = 4

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
  const { vocab } = json.model
  const decoder = parseDecoder(json.decoder, name)
  const { before, after } = parsePostProcessor(json.postProcessor, name)
  const normalizer = parseNormalizer(json.normalizer, name)
  const preTokenizer = parsePreTokenizer(json.preTokenizer, name)
  const added = addedById(json.addedTokens, vocab)
  const parts = textParts([...added.values()], normalizer, name)

  const pieces: string[] = []
  for (const [piece, id] of vocab) pieces[id] = piece
  // The reference decodes an added token in its normalized spelling, and knows a special one by its own.
  for (const [id, token] of added) pieces[id] = isNormalized(token) ? normalizer.normalize(token.content).text : token.content
  const idOfAdded = new Map([...added].map(([id, token]) => [token.content, id]))
  const idOf = (token: string): number | undefined => idOfAdded.get(token) ?? vocab.get(token)
  const isSpecial = (id: number): boolean => added.get(id)?.special === true
  const specials = [...added.values()].filter((token) => token.special)
  const specialSpellings = new Set(specials.map((token) => token.content))

  const unknownId = json.model.unkToken === undefined ? undefined : vocab.get(json.model.unkToken)
  /** Merges may spell a special token out of ordinary text. Such a one is taken apart into its characters. */
  const isMadeUp = (id: number): boolean => isSpecial(id) && id !== unknownId
  const takenApart = (id: number): number[] =>
    isMadeUp(id) ? [...added.get(id)!.content].flatMap((each) => bpe.characters(each)) : [id]
  const spell = preTokenizer.byteLevel ? spellBytes : (word: string) => word
  const bpe = createBpe(json.model, spell, (ids) => (ids.some(isMadeUp) ? ids.flatMap(takenApart) : ids), name)
  const longest = longestToken(pieces) * normalizer.shrinks * (isLossless() ? 1 : Number.POSITIVE_INFINITY)

  function isLossless(): boolean {
    const { byteFallback, unkToken, fuseUnk } = json.model
    if (!preTokenizer.keepsAll) return false
    if (preTokenizer.byteLevel && byteCharacters.every((each) => vocab.has(each))) return true
    const allBytes = Array.from({ length: 256 }, (_, byte) => byteToken(byte)).every((each) => vocab.has(each))
    return (byteFallback && allBytes) || (unkToken !== undefined && !fuseUnk)
  }
  /** Characters that added tokens take along, however many they are. */
  const takesSpaces = [...added.values()].some((token) => token.lstrip || token.rstrip)

  /** The ids of a text; yields now and then while it is long. */
  function* encoding(text: string, options: EncodeOptions = {}): Generator<void, number[]> {
    const {
      allowSpecial = false,
      addSpecial = true,
      isSpecial,
      context = Number.POSITIVE_INFINITY,
      overlong = overlongPrompt,
    } = options
    const characters = takesSpaces && context < text.length ? text.replace(/\p{White_Space}+/gu, '').length : text.length
    if (characters > context * longest) {
      const why = ` (one is at most ${longest} characters long)`
      throw overlongError(overlong, `at least ${Math.ceil(characters / longest)}`, context, { size: sizeOf(text), why })
    }
    const most = contextsEncoded * context
    const wellFormed = text.replace(/\p{Cs}/gu, '\uFFFD')
    const ids: number[] = addSpecial ? [...before] : []
    let work = 0
    for (const part of parts(wellFormed, { allowSpecial, isSpecial })) {
      if (part.id !== undefined) ids.push(part.id)
      else {
        for (const word of preTokenizer.cut(part)) {
          for (const id of bpe.known(word.text) ?? (yield* bpe.encode(word.text))) ids.push(id)
          work += word.text.length
          if (ids.length > most) break
          if (work > charactersPerTurn) {
            work = 0
            yield
          }
        }
      }
      if (ids.length > most) throw overlongError(overlong, `more than ${most}`, context, { size: sizeOf(text) })
    }
    if (addSpecial) for (const id of after) ids.push(id)
    return ids
  }

  const idOfName = (key: string): number | undefined => idOf(tokenName(files.tokenizerConfig, key) ?? '')
  const streamDecoder = (options?: StreamDecodeOptions) => {
    const textOf = (id: number) => (options?.skipSpecial && specialSpellings.has(pieces[id]!) ? undefined : pieces[id])
    return createStreamDecoder(decoder, textOf, options?.after)
  }

  return {
    vocabSize: pieces.length,
    bosTokenId: idOfName('bos_token') ?? null,
    eosTokenIds: [idOfName('eos_token')].filter((id) => id !== undefined),
    specialTokens: specials.map((token) => token.content),
    addedTokensStandAlone: [...added.values()].every(
      (token) =>
        token.special || !(token.lstrip || token.rstrip || token.single_word || (json.normalizer && isNormalized(token))),
    ),
    encode(text, options) {
      const steps = encoding(text, options)
      for (;;) {
        const { done, value } = steps.next()
        if (done) return value
      }
    },
    async encodeLong(text, options) {
      const steps = encoding(text, options)
      for (;;) {
        options?.signal?.throwIfAborted()
        const { done, value } = steps.next()
        if (done) return value
        await new Promise((resolve) => setTimeout(resolve, 0))
      }
    },
    decode(tokens, options) {
      const stream = streamDecoder(options)
      const texts = Array.from(tokens, (id) => stream.push(id))
      texts.push(stream.flush())
      return texts.join('')
    },
    streamDecoder,
    tokenText(id) {
      const piece = pieces[id]
      if (piece === undefined) return ''
      const read = decoder.read(piece, false)
      return typeof read === 'string' ? read : visibleText(read)
    },
    tokenBytes(id) {
      const piece = pieces[id]
      if (piece === undefined) return undefined
      const read = decoder.read(piece, false)
      return typeof read === 'string' ? utf8.encode(read) : read
    },
    addedTokens: [...added.values()].map(({ id, content, special }) => ({ id, content, isSpecial: special })),
    idOf,
    isSpecial,
  }
}

const utf8 = new TextEncoder()
const byteToken = (byte: number): string => `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`

const sizeOf = (text: string): string => ` of ${text.length} characters`

function longestToken(pieces: readonly string[]): number {
  let longest = 1
  // Not every index up to the largest id: a file may name a huge one.
  pieces.forEach((piece) => {
    longest = Math.max(longest, piece.length)
  })
  return longest
}

/** Added tokens by id. The vocabulary's id goes before the list's, and the last of several with one id counts. */
function addedById(tokens: readonly AddedToken[], vocab: ReadonlyMap<string, number>): Map<number, AddedToken> {
  const found = new Map<number, AddedToken>()
  const ids = new Map<string, number>()
  for (const token of tokens) {
    const id = ids.get(token.content) ?? vocab.get(token.content) ?? token.id
    ids.set(token.content, id)
    found.set(id, { ...token, id })
  }
  return found
}

/** `bos_token` and the like: the token itself, or an object that holds it. */
export function tokenName(tokenizerConfig: unknown, key: string): string | undefined {
  const entry = (tokenizerConfig as Record<string, unknown> | null | undefined)?.[key]
  const content = typeof entry === 'object' && entry !== null ? (entry as { content?: unknown }).content : entry
  return typeof content === 'string' ? content : undefined
}
