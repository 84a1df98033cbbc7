/** Text to token ids and back, and conversations to token ids. */
export { byteTokenizerFiles } from './byte-tokenizer.ts'
export { type GgufTokenizer, type GgufTokenizerFiles, ggufTokenizer, tokenizerFilesFromGguf } from './gguf/tokenizer.ts'
export { createChatTemplate } from './templates/chat-template.ts'
export { compilePromptTemplate, type PromptTemplate } from './templates/prompt-template.ts'
export { createTokenizer } from './tokenizer.ts'
export { tokenizerFileBytes, tokenizerFiles } from './tokenizer-files.ts'
export { type BpePreTokenizer, bpePreTokenizers, type TrainBpeOptions, trainBpe } from './train-bpe/train-bpe.ts'
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
