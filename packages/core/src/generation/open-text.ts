/** From a model's small files, and a model that is started once they are sound, to text. */
import { fileOf, readJson, type TextFiles } from '../checkpoint/open-checkpoint.ts'
import { checkpointError } from '../errors.ts'
import type { ChatTemplate, Tokenizer, TokenizerFiles } from '../tokenizer/index.ts'
import { createTokenizer } from '../tokenizer/tokenizer.ts'
import { tokenizerFiles } from '../tokenizer/tokenizer-files.ts'
import type { Model } from './model.ts'
import type { SchedulerOptions } from './scheduler.ts'
import { TextModel } from './text.ts'

/**
 * Reads tokenizer, chat template and ends of text, and then starts the model: what is wrong with small files is said before
 * weights are loaded.
 *
 * @throws as tokenizerFiles, createTokenizer, createChatTemplate, generationStops and `startModel`
 */
export async function openText(
  files: TextFiles,
  startModel: () => Promise<Model>,
  scheduling?: SchedulerOptions,
): Promise<TextModel> {
  const found = await tokenizerFiles(files)
  const tokenizer = createTokenizer(found, files.path)
  const template = await chatTemplate(found, tokenizer)
  const stops = await generationStops(files)
  return new TextModel(await startModel(), tokenizer, template, stops, scheduling)
}

/** Templates and their language are loaded for models that have one. */
async function chatTemplate(files: TokenizerFiles, tokenizer: Tokenizer): Promise<ChatTemplate | undefined> {
  const { chatTemplate, tokenizerConfig } = files
  const inConfig = (tokenizerConfig as { chat_template?: unknown } | null | undefined)?.chat_template
  if (chatTemplate === undefined && (inConfig === undefined || inConfig === null)) return undefined
  const { createChatTemplate } = await import('../tokenizer/templates/chat-template.ts')
  return createChatTemplate(files, tokenizer)
}

/** Ends of text that only generation_config.json names. @throws checkpoint error where they are no token ids */
export async function generationStops(files: TextFiles): Promise<number[]> {
  const name = 'generation_config.json'
  const found = ((await readJson(files, name)) as { eos_token_id?: unknown } | null | undefined)?.eos_token_id ?? []
  const ids = [found].flat()
  if (ids.every((id): id is number => Number.isSafeInteger(id))) return ids
  const file = fileOf(files.path, name)
  throw checkpointError(`${file}: eos_token_id should be a token id or a list of them`, { file, found })
}
