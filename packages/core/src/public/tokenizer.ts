/** Text to token ids and back; chat templates. A promised subpath: names come and go with major versions only. */
export {
  byteTokenizerFiles,
  type ChatMessage,
  type ChatTemplate,
  createChatTemplate,
  createTokenizer,
  type StreamDecoder,
  type Tokenizer,
  type TokenizerFiles,
} from '../tokenizer/index.ts'
