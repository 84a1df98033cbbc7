/** /v1/completions and /v1/embeddings: what comes in. */
import { z } from 'zod'
import { responseFormat } from './chat.ts'
import { modelField, parscaleField, prompts, samplingFields, streamFields } from './fields.ts'

export const completionRequest = z.object({
  model: modelField,
  prompt: prompts,
  ...samplingFields,
  ...streamFields,
  n: z.int().min(1).nullish(),
  best_of: z.int().nullish(),
  suffix: z.string().nullish(),
  max_tokens: z.int().min(0).nullish(),
  echo: z.boolean().nullish(),
  logprobs: z.union([z.int().min(0), z.boolean()], { error: 'Invalid input: expected a number or a boolean' }).nullish(),
  response_format: responseFormat.nullish(),
})
export type CompletionRequest = z.infer<typeof completionRequest>

export const embeddingRequest = z.object({
  model: modelField,
  input: prompts,
  encoding_format: z.enum(['float', 'base64']).nullish(),
  dimensions: z.int().min(1).nullish(),
  pooling: z.enum(['mean', 'last']).nullish().describe('Of which hidden states. Default: mean, of all tokens.'),
  parscale: parscaleField,
})
export type EmbeddingRequest = z.infer<typeof embeddingRequest>
