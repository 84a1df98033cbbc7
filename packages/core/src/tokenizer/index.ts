/** Text to token ids and back, and conversations to token ids. */
export type {
  ChatEncodeOptions,
  ChatMessage,
  ChatRenderOptions,
  ChatTemplate,
  DecodeOptions,
  EncodeOptions,
  StreamDecoder,
  Tokenizer,
  TokenizerFiles,
} from './types.ts'
