/** Which models can be packed. */
import { type ModelConfig, sharesKeys } from '../model/index.ts'

/**
 * Why the step over a packed model does not run one with these stream sets; undefined where it does.
 *
 * @param configs of the backbone and all stream sets
 */
export function stepRefusal(configs: readonly ModelConfig[]): string | undefined {
  for (const config of configs) {
    if (sharesKeys(config)) return 'the native step lets no streams share keys and values (parscale_own_window)'
    const unknown = unknownFeature(config)
    if (unknown) return `the native step knows no ${unknown}, which ${config.modelType} models have`
  }
  return undefined
}

/** What a model computes that the step does not. */
function unknownFeature({ qkNorm, features: f }: ModelConfig): string | undefined {
  if (!f.norms.beforeAttention || !f.norms.beforeMlp || f.norms.afterAttention || f.norms.afterMlp)
    return 'norms behind attention and MLP'
  if (f.normOffset !== 0) return 'norms by 1 + weight'
  if (qkNorm === 'projection') return 'norms of queries and keys over all heads'
  if (f.activation !== 'silu') return `activation ${f.activation}`
  if (f.embeddingScale !== 1) return 'scaled embeddings'
  if (f.attentionScale !== null) return 'scale of attention of its own'
  if (f.attentionSoftCap !== null || f.logitSoftCap !== null) return 'soft caps'
  if (f.rotaryFactor !== 1) return 'rotation of a part of each head'
  return undefined
}
