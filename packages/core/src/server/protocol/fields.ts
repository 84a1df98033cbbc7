/** Fields that several endpoints share. One source of checks, types and the OpenAPI document. Unknown fields are ignored. */
import { z } from 'zod'

/**
 * Checks of what may be long: zod's own take a microsecond for each value, and three for each that is wrong.
 *
 * @param schema what OpenAPI's document says of it
 */
const quick = <T>(fits: (value: unknown) => boolean, expected: string, schema: Record<string, unknown>) =>
  z.custom<T>(fits, `Invalid input: expected ${expected}`).meta(schema)

const isText = (value: unknown): value is string => typeof value === 'string'
const isId = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0
const isListOf = (value: unknown, fits: (each: unknown) => boolean): boolean => Array.isArray(value) && value.every(fits)
const isObject = (value: unknown): value is object => typeof value === 'object' && value !== null && !Array.isArray(value)

const textsSchema = { type: 'array', items: { type: 'string' } }
const idsSchema = { type: 'array', items: { type: 'integer', minimum: 0, maximum: Number.MAX_SAFE_INTEGER } }

export const tokenIds = quick<number[]>((value) => isListOf(value, isId), 'a list of token ids', idsSchema)

/** A text, texts, ids, or lists of ids. */
export const prompts = quick<string | string[] | number[] | number[][]>(
  (value) => isText(value) || isListOf(value, isText) || isListOf(value, isId) || isListOf(value, (each) => isListOf(each, isId)),
  'a string, a list of strings, a list of token ids, or a list of such lists',
  { anyOf: [{ type: 'string' }, textsSchema, idsSchema, { type: 'array', items: idsSchema }] },
)

/** An object of which nothing is checked here. */
export const anyObject = quick<Record<string, unknown>>(isObject, 'object', { type: 'object' })

const stops = quick<string | string[]>((value) => isText(value) || isListOf(value, isText), 'a string or a list of strings', {
  anyOf: [{ type: 'string' }, textsSchema],
})

const biases = quick<Record<string, number>>(
  (value) => isObject(value) && Object.values(value).every((each) => typeof each === 'number' && Math.abs(each) <= 100),
  'an object of numbers from -100 to 100',
  { type: 'object', additionalProperties: { type: 'number', minimum: -100, maximum: 100 } },
)

export const parscaleField = z
  .object({
    p: z
      .union([z.int().min(1), z.literal('auto')], { error: 'Invalid input: expected a number of streams or "auto"' })
      .nullish()
      .describe('Streams. "auto": the server chooses by its load. Default: what the operator set.'),
    streams: z
      .boolean()
      .nullish()
      .describe("Each stream's weight in each token, and the token that it would have said alone, with the answer."),
    without: z
      .array(z.int().min(0))
      .max(1024)
      .nullish()
      .describe('Streams, from 0, that have no say: their weight is 0, the others are scaled up. Default: none.'),
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
  logit_bias: biases.nullish(),
  seed: z.int().nullish(),
  stop: stops.nullish(),
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

/** The same in the words of /v1/responses. */
export const responseUsageShape = z.object({
  input_tokens: z.int(),
  input_tokens_details: z.object({ cached_tokens: z.int(), cache_write_tokens: z.int() }),
  output_tokens: z.int(),
  output_tokens_details: z.object({ reasoning_tokens: z.int() }),
  total_tokens: z.int(),
})

export const errorShape = z.object({
  error: z.object({ message: z.string(), type: z.string(), param: z.string().nullable(), code: z.string().nullable() }),
})

/** What an answer says of the streams. */
export const parscaleShape = z.object({
  p: z.int().describe('Streams that were used.'),
  token_ids: z.array(z.array(z.int())).optional().describe('With `streams`: of each choice, the id of each token.'),
  streams: z
    .array(z.array(z.array(z.number())))
    .optional()
    .describe('With `streams`: of each choice, of each token, the weight of each stream.'),
  stream_choices: z
    .array(z.array(z.array(z.object({ id: z.int(), token: z.string(), logprob: z.number() }))))
    .optional()
    .describe("With `streams`: of each choice, of each token, each stream's own most probable token."),
})
