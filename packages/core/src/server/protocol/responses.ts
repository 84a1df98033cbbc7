/** /v1/responses: what comes in. Items and tools that are not known are left out, never refused. */
import { z } from 'zod'
import { anyObject, modelField, samplingFields } from './fields.ts'

const item = z.looseObject({ type: z.string().optional(), role: z.string().optional() })
export type ResponseInput = z.infer<typeof item>

export const responseRequest = z.object({
  model: modelField,
  input: z.union([z.string(), z.array(item)], { error: 'Invalid input: expected a string or a list of items' }),
  instructions: z.string().nullish(),
  ...samplingFields,
  stream: z.boolean().nullish(),
  max_output_tokens: z.int().min(1).nullish(),
  tools: z.array(z.looseObject({ type: z.string() })).nullish(),
  tool_choice: z
    .union([z.enum(['none', 'auto', 'required']), z.looseObject({ type: z.string() })], {
      error: 'Invalid input: expected "none", "auto", "required" or an object with a type',
    })
    .nullish(),
  parallel_tool_calls: z.boolean().nullish(),
  text: z.looseObject({ format: z.looseObject({ type: z.string() }).nullish() }).nullish(),
  reasoning: z.looseObject({ effort: z.string().nullish() }).nullish(),
  previous_response_id: z.string().nullish(),
  metadata: anyObject.nullish(),
})
export type ResponseRequest = z.infer<typeof responseRequest>
