/** A model's own chat template: conversations to text and to token ids. */
import { checkpointError, usageError } from '../../errors.ts'
import { tokenName } from '../tokenizer.ts'
import type {
  ChatEncodeOptions,
  ChatMessage,
  ChatRenderOptions,
  ChatTemplate,
  EncodeOptions,
  Tokenizer,
  TokenizerFiles,
} from '../types.ts'
import { aliasReasoning } from './chat-variables.ts'
import { type CompiledTemplate, compileTemplate } from './compiled-template.ts'
import type { Text } from './jinja/text.ts'
import { isOwnToken } from './token-writers.ts'

/** The tokens that transformers hands to templates under these names (`special_tokens_map`). */
const namedTokens = ['bos_token', 'eos_token', 'unk_token', 'sep_token', 'pad_token', 'cls_token', 'mask_token']

/**
 * Undefined where the files hold no template.
 *
 * @throws checkpoint error for a template that does not parse. Rendering throws a usage error when the template rejects the
 *   messages, and a checkpoint error when it fails or takes more work than any honest template needs.
 */
export function createChatTemplate(files: TokenizerFiles, tokenizer: Tokenizer): ChatTemplate | undefined {
  const sources = templateSources(files)
  if (sources.size === 0) return undefined
  const compiled = new Map([...sources].map(([name, source]) => [name, compileTemplate(source)]))
  const tokens = Object.fromEntries(
    namedTokens.map((key) => [key, tokenName(files.tokenizerConfig, key)]).filter(([, token]) => token !== undefined),
  )

  const render = (messages: readonly ChatMessage[], { variables = {}, addGenerationPrompt = false }: ChatRenderOptions): Text =>
    chooseTemplate(compiled, variables).render({
      own: tokens,
      given: {
        tools: null,
        documents: null,
        ...variables,
        messages: aliasReasoning(messages),
        add_generation_prompt: addGenerationPrompt,
      },
    })

  /** What the tokenizer encodes, and how. */
  function encoding(messages: readonly ChatMessage[], options: ChatEncodeOptions): [text: string, options: EncodeOptions] {
    const text = render(messages, options)
    // The template places special tokens itself, BOS included: the post-processor adds none.
    const all = { allowSpecial: true, addSpecial: false }
    return [text.value, options.allowSpecial ? all : { ...all, isSpecial: (start, end) => isOwnToken(text, start, end) }]
  }

  return {
    source: sources.get('default') ?? [...sources.values()][0]!,
    render: (messages, options = {}) => render(messages, options).value,
    encode: (messages, options = {}) => tokenizer.encode(...encoding(messages, options)),
    async encodeLong(messages, options = {}) {
      options.signal?.throwIfAborted()
      const { context, overlong, signal } = options
      const [text, how] = encoding(messages, options)
      return await tokenizer.encodeLong(text, { ...how, context, overlong, signal })
    },
  }
}

/** Templates by name. Most models have one, "default"; some have a second one, "tool_use". */
function templateSources(files: TokenizerFiles): Map<string, string> {
  if (files.chatTemplate !== undefined) return new Map([['default', files.chatTemplate]])
  const entry = (files.tokenizerConfig as { chat_template?: unknown } | null | undefined)?.chat_template
  if (entry === undefined || entry === null) return new Map()
  if (typeof entry === 'string') return new Map([['default', entry]])
  if (Array.isArray(entry) && entry.every(isNamedTemplate)) return new Map(entry.map(({ name, template }) => [name, template]))
  throw checkpointError('tokenizer_config.json: chat_template should be a text or a list of { name, template }', {
    file: 'tokenizer_config.json',
    found: typeof entry,
  })
}

function isNamedTemplate(entry: unknown): entry is { name: string; template: string } {
  const { name, template } = (entry ?? {}) as { name?: unknown; template?: unknown }
  return typeof name === 'string' && typeof template === 'string'
}

/** As transformers chooses: "tool_use" where there are tools and such a template, else "default". */
function chooseTemplate(compiled: ReadonlyMap<string, CompiledTemplate>, variables: Readonly<Record<string, unknown>>) {
  const chosen = (variables.tools ? compiled.get('tool_use') : undefined) ?? compiled.get('default')
  if (chosen) return chosen
  throw usageError(`chat template: there is no "default" one; the model has ${[...compiled.keys()].join(', ')}`)
}
