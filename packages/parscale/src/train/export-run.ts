/** What a run has trained, as a folder that models are loaded from. */
import { rm } from 'node:fs/promises'
import { exportModel, exportStreamSet } from '@parscale/core/node'
import type { TokenizerFiles } from '@parscale/core/tokenizer'
import type { TrainPlan } from '@parscale/core/training'
import type { RunInputs } from './run-inputs.ts'

type Parameters = ReadonlyMap<string, Float32Array>

/** Whether the backbone stays where it is: then only the streams are written. */
export const isFrozen = ({ config }: RunInputs): boolean => config.stages.at(-1)!.train === 'streams'

/** Writes the model, or the streams of a frozen one, in place of what may be there. */
export async function exportRun(inputs: RunInputs, plan: TrainPlan, parameters: Parameters, target: string): Promise<void> {
  const { base, tied } = inputs
  const { config } = plan
  await rm(target, { recursive: true, force: true })
  if (base && isFrozen(inputs)) return await exportStreamSet(target, { config, parameters }, base)
  await exportModel(target, { config, tied, parameters, files: tokenizerContents(inputs.tokenizerFiles) })
}

export function tokenizerContents({ tokenizerJson, tokenizerConfig, chatTemplate }: TokenizerFiles): Map<string, Uint8Array> {
  const encode = (text: string) => new TextEncoder().encode(text)
  const files = new Map([['tokenizer.json', encode(`${JSON.stringify(tokenizerJson)}\n`)]])
  if (tokenizerConfig !== undefined) files.set('tokenizer_config.json', encode(`${JSON.stringify(tokenizerConfig, null, 2)}\n`))
  if (chatTemplate !== undefined) files.set('chat_template.jinja', encode(chatTemplate))
  return files
}
