/**
 * Prints the keys of config.json in docs/checkpoints.md, between its two marks: which keys there are, and which of them a family
 * needs, is what the reader does; what they mean is said here.
 *
 *     npx tsx --conditions=source scripts/checkpoint-keys.ts      writes the page
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { isParscaleError } from '@parscale/core/internal'
import { configKeys, parseModelConfig } from '@parscale/core/internal/checkpoint'
import { families, type ModelType, modelTypes } from '@parscale/core/internal/model'

export const checkpointsPage = fileURLToPath(new URL('../docs/checkpoints.md', import.meta.url))
const [begin, end] = ['<!-- printed by scripts/checkpoint-keys.ts -->', '<!-- end of keys -->']

const all = (has: (family: ModelType) => boolean): string => {
  const names = modelTypes.filter(has)
  return names.length === modelTypes.length ? 'all' : names.map((name) => `\`${name}\``).join(', ')
}
const activations = modelTypes.reduce<Map<string, ModelType[]>>((found, name) => {
  const activation = families[name].features?.activation ?? 'silu'
  return found.set(activation, [...(found.get(activation) ?? []), name])
}, new Map())
const reads = (key: string) =>
  all((name) => (families[name].featureKeys as readonly string[] | undefined)?.includes(key) ?? false)
const windows = (rule: string) => all((name) => families[name].window === rule)

/** What each key means. */
const meanings: Readonly<Record<string, string>> = {
  model_type: 'a family from above; `parscale_` before it where [streams are of our own](#streams-elsewhere)',
  vocab_size: '',
  hidden_size: '',
  intermediate_size: '',
  num_hidden_layers: '',
  num_attention_heads: 'a multiple of `num_key_value_heads`',
  num_key_value_heads: '',
  head_dim: `even. Absent: hidden size / attention heads. null: likewise, refused for ${all((name) => families[name].headDim === 'not null')}`,
  hidden_act: `the family's own: ${[...activations].map(([name, of]) => `\`${name}\` (${of.map((each) => `\`${each}\``).join(', ')})`).join(', ')}`,
  hidden_activation: `in place of \`hidden_act\`: ${all((name) => families[name].activationKey === 'hidden_activation')}`,
  rms_norm_eps: '',
  rope_theta: 'or `rope_theta` in `rope_scaling` or `rope_parameters`, which count before it',
  rope_scaling: '`default`, `linear` (factor) or `llama3` (all four of its numbers); the others are refused by name',
  rope_parameters: 'the same under the name of transformers 5. Where both are there, they must say the same',
  max_position_embeddings: 'the context',
  partial_rotary_factor: `at most 1; only with ${reads('partial_rotary_factor')}. May stand in the rope keys as well. Absent: 1`,
  query_pre_attn_scalar: `attention is scaled by 1 / its root: ${reads('query_pre_attn_scalar')}`,
  attn_logit_softcapping: `null: none. ${reads('attn_logit_softcapping')}`,
  final_logit_softcapping: `null: none. ${reads('final_logit_softcapping')}`,
  use_bidirectional_attention: 'true is refused: every token sees those before it only',
  is_causal: 'false is refused, likewise',
  tie_word_embeddings: 'absent: tied when there is no `lm_head.weight`',
  attention_bias: `biases of the attention projections, absent: none. ${all((name) => families[name].attentionBias.o === 'attention_bias')}`,
  mlp_bias: `biases of the MLP, absent: none. ${all((name) => families[name].mlpBias === 'mlp_bias')}`,
  sliding_window: `null: none. Every layer of ${windows('every layer')}; every other of ${windows('every other layer')}; as the next keys say, of ${windows('from max_window_layers')}`,
  use_sliding_window: `${windows('from max_window_layers')}: absent or false means no windows`,
  max_window_layers: `${windows('from max_window_layers')}: windows from this layer on, where \`layer_types\` is absent`,
  layer_types: '`full_attention` or `sliding_attention` per layer',
  bos_token_id: '',
  eos_token_id: 'may be a list; `generation_config.json` and the tokenizer may name more',
  quantization_config: '[ours](quantisation.md); what others wrote is refused',
  parscale_n: 'P. 1: the plain model',
  parscale_n_tokens: "prefix length, for P > 1. Published checkpoints differ from the code's default, so none is assumed",
  parscale_attn_smooth: 'smoothing, for P > 1; likewise',
  parscale_version: 'see [choices of streams](#choices-of-streams)',
  parscale_input: 'see [choices of streams](#choices-of-streams)',
  parscale_lora_rank: 'likewise',
  parscale_own_window: 'likewise',
  parscale_prefix_gate: 'likewise',
  parscale_aggregation: 'likewise',
  parscale_merge: 'likewise',
}

/** A key that is read elsewhere. */
const besides = '| `parscale_backbone_sha256` | no | see [stream sets](#stream-sets) |'

/** A config.json of the family that names every key it needs, in the older spelling. */
function plainConfig(name: ModelType): Record<string, unknown> {
  const { activationKey = 'hidden_act', features, window } = families[name]
  const sizes = { vocab_size: 9, hidden_size: 16, intermediate_size: 8, num_hidden_layers: 1, max_position_embeddings: 64 }
  const heads = { num_attention_heads: 2, num_key_value_heads: 1, head_dim: 8, query_pre_attn_scalar: 8 }
  const caps = { attn_logit_softcapping: null, final_logit_softcapping: null, rms_norm_eps: 1e-6 }
  const own = { model_type: name, [activationKey]: features?.activation ?? 'silu', sliding_window: window === 'none' ? null : 4 }
  return { ...sizes, ...heads, ...caps, rope_theta: 10000, ...own, parscale_n: 1 }
}

function isRead(config: object): boolean {
  try {
    parseModelConfig(config)
    return true
  } catch (error) {
    if (isParscaleError(error)) return false
    throw error
  }
}

function row(key: string): string {
  const meaning = meanings[key]
  if (meaning === undefined) throw new Error(`config.json: say in scripts/checkpoint-keys.ts what ${key} means`)
  const needing = modelTypes.filter((name) => {
    const { [key]: _, ...without } = plainConfig(name)
    return !isRead(without)
  })
  const needed = needing.length === modelTypes.length ? 'yes' : needing.map((name) => `\`${name}\``).join(', ') || 'no'
  return `| \`${key}\` | ${needed} | ${meaning} |`
}

/** The page with its table printed anew. */
export function printCheckpointKeys(page: string): string {
  for (const name of modelTypes) if (!isRead(plainConfig(name))) throw new Error(`the plain config of ${name} is refused`)
  const strange = Object.keys(meanings).filter((key) => !configKeys.includes(key))
  if (strange.length > 0) throw new Error(`no keys of config.json: ${strange.join(', ')}`)
  const table = ['| key | needed | meaning |', '|---|---|---|', ...configKeys.map(row), besides].join('\n')
  const [before, rest] = page.split(begin) as [string, string]
  return `${before}${begin}\n\n${table}\n\n${end}${rest.split(end)[1]}`
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  writeFileSync(checkpointsPage, printCheckpointKeys(readFileSync(checkpointsPage, 'utf8')))
}
