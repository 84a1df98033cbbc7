/**
 * tokenizer.json, the format of Hugging Face tokenizers (huggingface/tokenizers, `TokenizerImpl`), checked as far as we
 * rely on it. The large parts, vocabulary and merges, are checked by hand: a schema would copy them.
 */
import * as z from 'zod'
import { checkpointError, unsupportedError } from '../errors.ts'
import { safeParse } from '../safe-parse.ts'

const naturalId = z.number().int().nonnegative()
const naturals = z.array(naturalId)

/** One of the small parts: a normalizer, pre-tokenizer, post-processor or decoder. `type` decides what else it has. */
const component = z.looseObject({
  type: z.string(),
  pattern: z.union([z.object({ Regex: z.string() }), z.object({ String: z.string().min(1) })]).optional(),
  content: z.string().optional(),
  prepend: z.string().optional(),
  behavior: z.string().optional(),
  invert: z.boolean().optional(),
  replacement: z.string().length(1).optional(),
  prepend_scheme: z.enum(['always', 'first', 'never']).optional(),
  add_prefix_space: z.boolean().optional(),
  split: z.boolean().optional(),
  use_regex: z.boolean().optional(),
  individual_digits: z.boolean().optional(),
  start: z.number().int().nonnegative().optional(),
  stop: z.number().int().nonnegative().optional(),
  strip_left: z.boolean().optional(),
  strip_right: z.boolean().optional(),
  single: z
    .array(
      z.looseObject({
        SpecialToken: z.looseObject({ id: z.string() }).optional(),
        Sequence: z.looseObject({ id: z.string() }).optional(),
      }),
    )
    .optional(),
  special_tokens: z.record(z.string(), z.looseObject({ ids: naturals })).optional(),
  cls: z.tuple([z.string(), naturalId]).optional(),
  sep: z.tuple([z.string(), naturalId]).optional(),
  // What a Sequence is made of, by the kind of part.
  get normalizers() {
    return z.array(component).optional()
  },
  get pretokenizers() {
    return z.array(component).optional()
  },
  get processors() {
    return z.array(component).optional()
  },
  get decoders() {
    return z.array(component).optional()
  },
})
export type Component = z.infer<typeof component>

const addedToken = z.looseObject({
  id: z.number().int().nonnegative(),
  content: z.string().min(1),
  special: z.boolean(),
  single_word: z.boolean().optional(),
  lstrip: z.boolean().optional(),
  rstrip: z.boolean().optional(),
  normalized: z.boolean().optional(),
})
export type AddedToken = z.infer<typeof addedToken>

const schema = z.looseObject({
  model: z.looseObject({ type: z.string() }),
  added_tokens: z.array(addedToken).nullish(),
  normalizer: component.nullish(),
  pre_tokenizer: component.nullish(),
  post_processor: component.nullish(),
  decoder: component.nullish(),
})

export interface BpeModel {
  readonly vocab: ReadonlyMap<string, number>
  readonly merges: readonly (readonly [left: string, right: string])[]
  readonly unkToken: string | undefined
  /** Neighbouring unknown characters are one unknown token. */
  readonly fuseUnk: boolean
  /** Unknown characters are written by tokens of their bytes, `<0x00>` to `<0xFF>`. */
  readonly byteFallback: boolean
  /** Words that are in the vocabulary are taken whole. */
  readonly ignoreMerges: boolean
}

export interface TokenizerJson {
  readonly model: BpeModel
  readonly addedTokens: readonly AddedToken[]
  readonly normalizer: Component | null
  readonly preTokenizer: Component | null
  readonly postProcessor: Component | null
  readonly decoder: Component | null
}

/** Ids index tables, so a lying file must not make them huge. The largest published vocabularies have 2^18 entries. */
const maxTokenId = 2 ** 24 - 1

/** @throws checkpoint error naming the file and the key; unsupported error naming a model type other than BPE */
export function parseTokenizerJson(json: unknown, file: string): TokenizerJson {
  const parsed = parseSchema(json, file)
  if (!parsed.success) {
    const issue = parsed.error.issues[0]!
    const where = issue.path.join('.') || 'the file'
    throw checkpointError(`${file}: ${where}: ${issue.message}; expected a Hugging Face tokenizer.json`, { file, found: issue })
  }
  const { model, added_tokens, normalizer, pre_tokenizer, post_processor, decoder } = parsed.data
  return {
    model: parseBpe(model, file),
    addedTokens: (added_tokens ?? []).map((token) => checkAddedToken(token, file)),
    normalizer: normalizer ?? null,
    preTokenizer: pre_tokenizer ?? null,
    postProcessor: post_processor ?? null,
    decoder: decoder ?? null,
  }
}

function parseSchema(json: unknown, file: string) {
  try {
    return safeParse(schema, json)
  } catch (cause) {
    if (!(cause instanceof RangeError)) throw cause
    throw checkpointError(`${file}: its parts are nested too deep to be read`, { file, cause })
  }
}

function parseBpe(model: z.infer<typeof schema>['model'], file: string): BpeModel {
  if (model.type !== 'BPE') {
    throw unsupportedError(`${file}: tokenizer model "${model.type}" is not supported; supported is BPE`, {
      file,
      expected: 'BPE',
      found: model.type,
    })
  }
  for (const key of ['continuing_subword_prefix', 'end_of_word_suffix']) {
    if (model[key]) throw unsupportedError(`${file}: model.${key} "${String(model[key])}" is not supported`, { file })
  }
  if (model.dropout) throw unsupportedError(`${file}: model.dropout ${String(model.dropout)} is not supported`, { file })
  const { unk_token: unkToken } = model
  return {
    vocab: readVocab(model.vocab, file),
    merges: readMerges(model.merges, file),
    unkToken: typeof unkToken === 'string' ? unkToken : undefined,
    fuseUnk: model.fuse_unk === true,
    byteFallback: model.byte_fallback === true,
    ignoreMerges: model.ignore_merges === true,
  }
}

/** An object; or a map, where it was made of something else than JSON. */
function readVocab(vocab: unknown, file: string): ReadonlyMap<string, number> {
  if (vocab instanceof Map) {
    for (const [token, id] of vocab) checkId(id, token, file)
    return vocab
  }
  if (typeof vocab !== 'object' || vocab === null || Array.isArray(vocab)) {
    throw checkpointError(`${file}: model.vocab should be an object of token to id`, { file })
  }
  const ids = new Map<string, number>()
  for (const token of Object.keys(vocab)) {
    const id = (vocab as Record<string, unknown>)[token]
    checkId(id, token, file)
    ids.set(token, id as number)
  }
  return ids
}

/** `"Ġ t"` in older files, `["Ġ", "t"]` in newer ones. */
function readMerges(merges: unknown, file: string): (readonly [string, string])[] {
  const refuse = (): never => {
    throw checkpointError(`${file}: model.merges should be a list of pairs of tokens`, { file })
  }
  if (!Array.isArray(merges)) return refuse()
  return merges.map((merge: unknown) => {
    const pair = typeof merge === 'string' ? merge.split(' ') : merge
    const isPair = Array.isArray(pair) && pair.length === 2 && typeof pair[0] === 'string' && typeof pair[1] === 'string'
    return isPair ? (pair as unknown as readonly [string, string]) : refuse()
  })
}

/** Longest spelling of an added token: at each place of a text all of it may have to be compared. */
const maxAddedLength = 1024

function checkAddedToken(token: AddedToken, file: string): AddedToken {
  if (token.content.length > maxAddedLength) {
    const found = `${token.content.slice(0, 40)}…`
    throw unsupportedError(
      `${file}: added token ${JSON.stringify(found)} has ${token.content.length} characters; supported are up to ${maxAddedLength}`,
      { file, expected: maxAddedLength, found: token.content.length },
    )
  }
  checkId(token.id, token.content, file)
  return token
}

function checkId(id: unknown, token: string, file: string): void {
  if (typeof id === 'number' && Number.isInteger(id) && id >= 0 && id <= maxTokenId) return
  throw checkpointError(
    `${file}: id of token ${JSON.stringify(token)} should be an integer from 0 to ${maxTokenId}, got ${String(id)}`,
    {
      file,
      found: id,
    },
  )
}
