/** Fields that several endpoints share. One source of checks, types and the OpenAPI document. Unknown fields are ignored. */
import { z } from 'zod'

export const parscaleField = z
  .object({
    p: z
      .union([z.int().min(1), z.literal('auto')])
      .nullish()
      .describe('Streams. "auto": the server chooses by its load. Default: what the operator set.'),
    streams: z.boolean().nullish().describe("Each stream's weight in each token, with the answer."),
  })
  .nullish()

export const modelField = z.string().max(400).describe('A name of /v1/models, with `:pN` behind it for N streams or `:auto`.')

/** Null counts as absent, as clients send it. */
export const samplingFields = {
  temperature: z.number().min(0).max(2).nullish(),
  top_p: z.number().min(0).max(1).nullish(),
  top_k: z.int().min(-1).nullish().describe('0 and -1: all tokens.'),
  min_p: z.number().min(0).max(1).nullish(),
  presence_penalty: z.number().min(-2).max(2).nullish(),
  frequency_penalty: z.number().min(-2).max(2).nullish(),
  repetition_penalty: z.number().min(1e-6).max(1e6).nullish(),
  logit_bias: z.record(z.string(), z.number().min(-100).max(100)).nullish(),
  seed: z.int().nullish(),
  stop: z.union([z.string(), z.array(z.string())]).nullish(),
  parscale: parscaleField,
}
export type SamplingFields = z.infer<z.ZodObject<typeof samplingFields>>

export const streamFields = {
  stream: z.boolean().nullish(),
  stream_options: z.object({ include_usage: z.boolean().nullish() }).nullish(),
}

export const usageShape = z.object({
  prompt_tokens: z.int(),
  completion_tokens: z.int(),
  total_tokens: z.int(),
  prompt_tokens_details: z.object({ cached_tokens: z.int() }),
})

export const errorShape = z.object({
  error: z.object({ message: z.string(), type: z.string(), param: z.string().nullable(), code: z.string().nullable() }),
})

/** What an answer says of the streams. */
export const parscaleShape = z.object({
  p: z.int().describe('Streams that were used.'),
  streams: z
    .array(z.array(z.array(z.number())))
    .optional()
    .describe('With `streams`: of each choice, of each token, the weight of each stream.'),
})
