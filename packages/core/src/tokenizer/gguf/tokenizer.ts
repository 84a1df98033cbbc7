/**
 * The tokenizer in a GGUF file's metadata as the Hugging Face files it was made from. Keys: ggml/docs/gguf.md, "Tokenizer";
 * token types: llama.h, `llama_token_type`.
 */
import type { GgufMetadata } from '../../checkpoint/gguf/value.ts'
import { checkpointError, unsupportedError } from '../../errors.ts'
import type { TokenizerFiles } from '../types.ts'
import { type GgufPreTokenizer, ggufPreTokenizers } from './pretokenizers.ts'
import { type ScoredPiece, sentencePieceMerges } from './sentencepiece-merges.ts'

export interface GgufTokenizerFiles {
  readonly 'tokenizer.json': object
  readonly 'tokenizer_config.json': unknown
  readonly 'chat_template.jinja'?: string
}

const tokenType = { normal: 1, unknown: 2, control: 3, userDefined: 4, unused: 5, byte: 6 } as const

/** Published pieces have some thirty characters at most. Finding merges is quadratic in them. */
const maxScoredPieceChars = 512

interface GgufVocabulary {
  readonly tokens: readonly string[]
  readonly types: readonly number[]
  readonly read: MetadataReader
}

/**
 * Files to write beside a converted model. Undefined where the file has no tokenizer.
 *
 * @throws as ggufTokenizer
 */
export function tokenizerFilesFromGguf(metadata: GgufMetadata, file = 'GGUF file'): GgufTokenizerFiles | undefined {
  const found = ggufTokenizer(metadata, file)
  if (!found) return undefined
  const { tokenizerJson, tokenizerConfig, chatTemplate } = found
  const { model } = tokenizerJson
  return {
    'tokenizer.json': { ...tokenizerJson, model: { ...model, vocab: Object.fromEntries(model.vocab) } },
    'tokenizer_config.json': tokenizerConfig,
    ...(chatTemplate !== undefined && { 'chat_template.jinja': chatTemplate }),
  }
}

/** What createTokenizer takes. The vocabulary is a map, which no JSON is: an object of so many keys would be made only to be taken apart. */
export interface GgufTokenizer extends TokenizerFiles {
  readonly tokenizerJson: { readonly model: { readonly vocab: ReadonlyMap<string, number> }; readonly [part: string]: unknown }
}

/**
 * The same for createTokenizer, without a file between. Undefined where the file has no tokenizer.
 *
 * @param file names the file in errors
 * @throws checkpoint error for missing or contradictory metadata; unsupported error naming the tokenizer or pre-tokenizer
 */
export function ggufTokenizer(metadata: GgufMetadata, file = 'GGUF file'): GgufTokenizer | undefined {
  const read = metadataReader(metadata, file)
  const model = read.text('model')
  if (model === undefined || model === 'none' || model === 'no_vocab') return undefined
  const tokens = read.required('tokens', read.texts('tokens'))
  const types = read.numbers('token_type') ?? tokens.map(() => tokenType.normal)
  if (types.length !== tokens.length) {
    throw checkpointError(`${file}: tokenizer.ggml.token_type has ${types.length} entries for ${tokens.length} tokens`, { file })
  }
  const vocabulary = { tokens, types, read }
  const parts = modelParts(model, vocabulary, file)
  const nameOf = (key: string): string | undefined => tokens[read.number(key) ?? -1]
  const [bos, eos] = [nameOf('bos_token_id'), nameOf('eos_token_id')]
  const template = metadata.get('tokenizer.chat_template')
  return {
    tokenizerJson: {
      version: '1.0',
      truncation: null,
      padding: null,
      added_tokens: addedTokens(vocabulary),
      normalizer: parts.normalizer,
      pre_tokenizer: parts.pre_tokenizer,
      post_processor: surround(vocabulary, parts.addBos, bos, eos),
      decoder: parts.decoder,
      model: parts.model,
    },
    tokenizerConfig: {
      tokenizer_class: 'PreTrainedTokenizerFast',
      clean_up_tokenization_spaces: false,
      bos_token: bos ?? null,
      eos_token: eos ?? null,
      unk_token: nameOf('unknown_token_id') ?? null,
      pad_token: nameOf('padding_token_id') ?? null,
    },
    chatTemplate: typeof template === 'string' ? template : undefined,
  }
}

function modelParts(model: string, vocabulary: GgufVocabulary, file: string) {
  if (model === 'gpt2') return byteLevelParts(vocabulary, preTokenizer(vocabulary.read.text('pre') ?? 'default', file))
  if (model === 'llama') return sentencePieceParts(vocabulary, file)
  throw unsupportedError(`${file}: tokenizer.ggml.model "${model}" is not supported; supported are gpt2 and llama`, {
    file,
    found: model,
  })
}

function preTokenizer(name: string, file: string): GgufPreTokenizer {
  const found = Object.hasOwn(ggufPreTokenizers, name) ? ggufPreTokenizers[name] : undefined
  if (found) return found
  const known = Object.keys(ggufPreTokenizers).join(', ')
  throw unsupportedError(`${file}: tokenizer.ggml.pre "${name}" is not supported; supported are ${known}`, { file, found: name })
}

function byteLevelParts({ tokens, read }: GgufVocabulary, pre: GgufPreTokenizer) {
  return {
    normalizer: pre.normalizer ?? null,
    pre_tokenizer: pre.preTokenizer,
    decoder: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true },
    model: {
      type: 'BPE',
      unk_token: null,
      ignore_merges: pre.ignoreMerges ?? false,
      vocab: vocabularyOf(tokens),
      merges: read.required('merges', read.texts('merges')),
    },
    addBos: pre.addBos ?? false,
  }
}

function sentencePieceParts({ tokens, types, read }: GgufVocabulary, file: string) {
  const scores = read.required('scores', read.numbers('scores'))
  const pieces: ScoredPiece[] = []
  tokens.forEach((piece, id) => {
    if (types[id] !== tokenType.normal && types[id] !== tokenType.userDefined) return
    if (piece.length > maxScoredPieceChars) {
      throw checkpointError(`${file}: token ${id} has ${piece.length} characters; the limit is ${maxScoredPieceChars}`, { file })
    }
    pieces.push({ piece, id, score: scores[id] ?? 0 })
  })
  const unknown = tokens[types.indexOf(tokenType.unknown)]
  const spaceFirst = read.flag('add_space_prefix') ?? true
  const toMark = { type: 'Replace', pattern: { String: ' ' }, content: '▁' }
  return {
    normalizer: { type: 'Sequence', normalizers: spaceFirst ? [{ type: 'Prepend', prepend: '▁' }, toMark] : [toMark] },
    pre_tokenizer: null,
    decoder: {
      type: 'Sequence',
      decoders: [
        { type: 'Replace', pattern: { String: '▁' }, content: ' ' },
        { type: 'ByteFallback' },
        { type: 'Fuse' },
        ...(spaceFirst ? [{ type: 'Strip', content: ' ', start: 1, stop: 0 }] : []),
      ],
    },
    model: {
      type: 'BPE',
      unk_token: unknown ?? null,
      fuse_unk: true,
      byte_fallback: true,
      ignore_merges: false,
      vocab: vocabularyOf(tokens),
      merges: sentencePieceMerges(pieces),
    },
    addBos: true,
  }
}

function vocabularyOf(tokens: readonly string[]): Map<string, number> {
  const ids = new Map<string, number>()
  for (let id = 0; id < tokens.length; id++) ids.set(tokens[id]!, id)
  return ids
}

/** Control tokens are special; user-defined ones are found in every text. */
function addedTokens({ tokens, types }: GgufVocabulary) {
  return tokens.flatMap((content, id) => {
    const special = types[id] === tokenType.control || types[id] === tokenType.unknown
    if (!special && types[id] !== tokenType.userDefined) return []
    return { id, content, single_word: false, lstrip: false, rstrip: false, normalized: false, special }
  })
}

/** The post-processor that puts BOS before a text and EOS after it, as far as the file or the tokenizer's kind says so. */
function surround({ tokens, read }: GgufVocabulary, addBos: boolean, bos: string | undefined, eos: string | undefined) {
  const before = (read.flag('add_bos_token') ?? addBos) ? bos : undefined
  const after = (read.flag('add_eos_token') ?? false) ? eos : undefined
  if (before === undefined && after === undefined) return null
  const special = (token: string | undefined) => (token === undefined ? [] : [{ SpecialToken: { id: token, type_id: 0 } }])
  const text = (id: string, typeId: number) => [...special(before), { Sequence: { id, type_id: typeId } }, ...special(after)]
  const used = [...new Set([before, after])].filter((token) => token !== undefined)
  return {
    type: 'TemplateProcessing',
    single: text('A', 0),
    pair: [...text('A', 0), ...text('B', 1)],
    special_tokens: Object.fromEntries(
      used.map((token) => [token, { id: token, ids: [tokens.indexOf(token)], tokens: [token] }]),
    ),
  }
}

type MetadataReader = ReturnType<typeof metadataReader>

/** Reads keys under "tokenizer.ggml.": undefined where absent. @throws checkpoint error where a value has another type */
function metadataReader(metadata: GgufMetadata, file: string) {
  const typed = <T>(key: string, expected: string, convert: (value: unknown) => T | undefined): T | undefined => {
    const value = metadata.get(`tokenizer.ggml.${key}`)
    const converted = value === undefined ? undefined : convert(value)
    if (value === undefined || converted !== undefined) return converted
    throw checkpointError(`${file}: tokenizer.ggml.${key} should be ${expected}`, { file, expected })
  }
  return {
    text: (key: string) => typed(key, 'a string', (value) => (typeof value === 'string' ? value : undefined)),
    flag: (key: string) => typed(key, 'a boolean', (value) => (typeof value === 'boolean' ? value : undefined)),
    number: (key: string) => typed(key, 'a number', (value) => (typeof value === 'number' ? value : undefined)),
    texts: (key: string) =>
      typed(key, 'a list of strings', (value) =>
        Array.isArray(value) && value.every((each) => typeof each === 'string') ? (value as string[]) : undefined,
      ),
    numbers: (key: string) =>
      typed(key, 'a list of numbers', (value) =>
        value instanceof Int32Array || value instanceof Uint32Array || value instanceof Float32Array ? [...value] : undefined,
      ),
    required: <T>(key: string, value: T | undefined): T => {
      if (value !== undefined) return value
      throw checkpointError(`${file}: tokenizer.ggml.${key} is missing; the tokenizer cannot be built without it`, { file })
    },
  }
}
