/**
 * The keys of config.json that speak of streams: the reference's three, and our own for choices that it does not have. Without
 * ours the file means what the reference takes it to mean.
 */
import * as z from 'zod'
import { checkpointError, isParscaleError } from '../errors.ts'
import { aggregations, type ModelConfig, merges, type ParscaleConfig, type StreamInput, streamInputs } from '../model/config.ts'
import { families, isModelType, type ModelType } from '../model/families.ts'
import { hasStreams, isReferenceFormat, parscaleConfig } from '../model/stream-options.ts'

/**
 * Of our own keys. What version 1 does not know: scales, norms, embedding, several kinds together, mixed probabilities; what version 2
 * does not: keys and values that streams share.
 */
const newestVersion = 3

const keys = z.object({
  parscale_version: z.number().int().positive().optional(),
  parscale_n: z.number().int().positive().optional(),
  parscale_n_tokens: z.number().int().nonnegative().optional(),
  parscale_attn_smooth: z.number().min(0).max(1).optional(),
  /**
   * One kind, a list of several, or none. With `parscale_n` of 1: the one stream has something of its own. Without this key it is
   * the plain model.
   */
  parscale_input: z.preprocess(kindList, z.array(z.string()).optional()),
  parscale_prefix_gate: z.boolean().optional(),
  parscale_lora_rank: z.number().int().positive().optional(),
  parscale_own_window: z.number().int().positive().optional(),
  parscale_aggregation: z.string().optional(),
  parscale_merge: z.string().optional(),
})
export const parscaleSchema = keys.shape

/**
 * In front of a family's name, in `model_type` and `architectures`, where its streams are none that the reference knows. To transformers and
 * all that read its files the name is unknown, so they refuse it; of a known one they pass over tensors that have no place,
 * and compute another model.
 */
const ownType = 'parscale_'
const ownClass = 'ParScale'

/** The family that a config.json names, whether or not it has streams of our own; undefined where there is none such. */
export function familyOf(modelType: unknown): ModelType | undefined {
  if (isModelType(modelType)) return modelType
  if (typeof modelType !== 'string' || !modelType.startsWith(ownType)) return undefined
  const family = modelType.slice(ownType.length)
  return isModelType(family) && !families[family].reference ? family : undefined
}

/** `model_type` of a model, and its class for `architectures`. */
export function writtenType({ modelType, parscale }: Pick<ModelConfig, 'modelType' | 'parscale'>): {
  readonly modelType: string
  readonly className: string
} {
  const { withStreams, reference } = families[modelType]
  const isKnown = isReferenceFormat(parscale)
  const family = isKnown ? (hasStreams({ parscale }) ? (withStreams ?? modelType) : modelType) : (reference?.plain ?? modelType)
  const { className } = families[family]
  if (!hasStreams({ parscale }) || families[family].reference) return { modelType: family, className }
  return { modelType: `${ownType}${family}`, className: `${ownClass}${className}` }
}

/** @throws checkpoint error for a key that is missing or does not go with the others */
export function parseParscaleKeys(raw: z.infer<typeof keys>, family: ModelType, file: string): ParscaleConfig {
  const { parscale_n: n, parscale_version: version = 1 } = raw
  // Before the choices: a newer version may have others.
  if (version > newestVersion) {
    const why = `this parscale reads up to ${newestVersion}; install a newer one`
    throw checkpointError(`${file}: parscale_version is ${version}, ${why}`, { file, expected: newestVersion, found: version })
  }
  const known = <T extends string>(key: keyof typeof raw, value: string, choices: readonly T[]): T => {
    const found = choices.find((choice) => choice === value)
    if (found) return found
    throw checkpointError(`${file}: ${key} is ${JSON.stringify(value)}; there are ${choices.join(', ')}`, {
      file,
      expected: choices,
      found: value,
    })
  }
  const kinds = raw.parscale_input ?? (n === undefined || n === 1 ? [] : ['prefix'])
  const input = kinds.map((kind) => known('parscale_input', kind, streamInputs))
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
  const aggregation = n === 1 ? 'average' : known('parscale_aggregation', raw.parscale_aggregation ?? 'dynamic', aggregations)
  try {
    return parscaleConfig({
      n,
      input,
      nTokens: input.includes('prefix') ? need('parscale_n_tokens', raw.parscale_n_tokens, differ) : 0,
      gate: raw.parscale_prefix_gate ?? false,
      loraRank: input.includes('lora') ? need('parscale_lora_rank', raw.parscale_lora_rank, 'it decides the shapes') : 0,
      ownWindow: raw.parscale_own_window ?? null,
      aggregation,
      merge: known('parscale_merge', raw.parscale_merge ?? 'hidden', merges),
      attnSmooth: aggregation === 'average' ? 0 : need('parscale_attn_smooth', raw.parscale_attn_smooth, differ),
    })
  } catch (error) {
    if (!isParscaleError(error) || error.kind !== 'usage') throw error
    const key = keyOf.get(error.facts.flag)
    throw checkpointError(`${file}: ${key ? `${key}: ` : ''}${error.message}`, { file, ...error.facts })
  }
}

/** What an option of streams is called here. */
const keyOf: ReadonlyMap<unknown, keyof z.infer<typeof keys>> = new Map([
  ['p', 'parscale_n'],
  ['input', 'parscale_input'],
  ['nTokens', 'parscale_n_tokens'],
  ['gate', 'parscale_prefix_gate'],
  ['loraRank', 'parscale_lora_rank'],
  ['ownWindow', 'parscale_own_window'],
  ['aggregation', 'parscale_aggregation'],
  ['merge', 'parscale_merge'],
  ['attnSmooth', 'parscale_attn_smooth'],
])

const firstKinds: readonly StreamInput[] = ['prefix', 'lora', 'bitfit']
/** The earliest version that knows all of it. */
function versionOf({ input, ownWindow, merge }: ParscaleConfig): number {
  if (ownWindow !== null) return 3
  return input.length === 1 && firstKinds.includes(input[0]!) && merge === 'hidden' ? 1 : 2
}

function kindList(value: unknown): unknown {
  if (value === 'none') return []
  return typeof value === 'string' ? [value] : value
}

/** The keys to write into config.json; those of our own only where the reference's meaning would be another. */
export function parscaleKeys(parscale: ParscaleConfig): Record<string, number | string | boolean | readonly string[]> {
  const { n, input, nTokens, gate, loraRank, ownWindow, aggregation, merge, attnSmooth } = parscale
  const version = versionOf(parscale)
  const reference = { parscale_n: n, parscale_n_tokens: nTokens, parscale_attn_smooth: attnSmooth }
  if (isReferenceFormat(parscale)) return reference
  return {
    ...reference,
    ...(version === 1 ? {} : { parscale_version: version }),
    parscale_input: input.length === 1 ? input[0]! : input,
    ...(gate ? { parscale_prefix_gate: gate } : {}),
    ...(input.includes('lora') ? { parscale_lora_rank: loraRank } : {}),
    ...(ownWindow === null ? {} : { parscale_own_window: ownWindow }),
    ...(n > 1 ? { parscale_aggregation: aggregation } : {}),
    ...(merge === 'hidden' ? {} : { parscale_merge: merge }),
  }
}
