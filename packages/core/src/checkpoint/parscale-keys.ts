/**
 * The keys of config.json that speak of streams: the reference's three, and our own for choices that it does not have. Without
 * ours the file means what the reference takes it to mean.
 */
import * as z from 'zod'
import { checkpointError, isParscaleError } from '../errors.ts'
import { aggregations, type ParscaleConfig, streamInputs } from '../model/config.ts'
import { families, type ModelType } from '../model/families.ts'
import { isReferenceFormat, parscaleConfig } from '../model/stream-options.ts'

const keys = z.object({
  parscale_n: z.number().int().positive().optional(),
  parscale_n_tokens: z.number().int().nonnegative().optional(),
  parscale_attn_smooth: z.number().min(0).max(1).optional(),
  /** With `parscale_n` of 1: the one stream has an input transformation. Without this key it is the plain model. */
  parscale_input: z.enum(streamInputs).optional(),
  parscale_prefix_gate: z.boolean().optional(),
  parscale_lora_rank: z.number().int().positive().optional(),
  parscale_aggregation: z.enum(aggregations).optional(),
})
export const parscaleSchema = keys.shape

/** @throws checkpoint error for a key that is missing or does not go with the others */
export function parseParscaleKeys(raw: z.infer<typeof keys>, family: ModelType, file: string): ParscaleConfig {
  const { parscale_n: n, parscale_input: input = n === undefined || n === 1 ? 'none' : 'prefix' } = raw
  if (n === undefined) {
    if (families[family].reference || raw.parscale_input !== undefined) {
      const why = families[family].reference ? `model_type is ${family}` : 'parscale_input is there'
      throw checkpointError(`${file}: parscale_n is missing, but ${why}`, { file })
    }
    return parscaleConfig({ n: 1 })
  }
  const need = <T>(key: keyof typeof raw, value: T | undefined, reason: string): T => {
    if (value === undefined) throw checkpointError(`${file}: ${key} is missing; ${reason}, so no default is assumed`, { file })
    return value
  }
  const differ = 'published checkpoints differ in it'
  const aggregation = n === 1 ? 'average' : (raw.parscale_aggregation ?? 'dynamic')
  try {
    return parscaleConfig({
      n,
      input,
      nTokens: input === 'prefix' ? need('parscale_n_tokens', raw.parscale_n_tokens, differ) : 0,
      gate: raw.parscale_prefix_gate ?? false,
      loraRank: input === 'lora' ? need('parscale_lora_rank', raw.parscale_lora_rank, 'it decides the shapes') : 0,
      aggregation,
      attnSmooth: aggregation === 'average' ? 0 : need('parscale_attn_smooth', raw.parscale_attn_smooth, differ),
    })
  } catch (error) {
    if (isParscaleError(error) && error.kind === 'usage')
      throw checkpointError(`${file}: ${error.message}`, { file, ...error.facts })
    throw error
  }
}

/** The keys to write into config.json; those of our own only where the reference's meaning would be another. */
export function parscaleKeys(parscale: ParscaleConfig): Record<string, number | string | boolean> {
  const { n, input, nTokens, gate, loraRank, aggregation, attnSmooth } = parscale
  const reference = { parscale_n: n, parscale_n_tokens: nTokens, parscale_attn_smooth: attnSmooth }
  if (isReferenceFormat(parscale)) return reference
  return {
    ...reference,
    parscale_input: input,
    ...(gate ? { parscale_prefix_gate: gate } : {}),
    ...(input === 'lora' ? { parscale_lora_rank: loraRank } : {}),
    ...(n > 1 ? { parscale_aggregation: aggregation } : {}),
  }
}
