/** /v1/chat/completions: what comes in. */
import { z } from 'zod'
import { anyObject, modelField, samplingFields, streamFields } from './fields.ts'

const part = z.looseObject({ type: z.string() })
export const toolCall = z.looseObject({
  id: z.string().optional(),
  type: z.string().optional(),
  function: z.looseObject({ name: z.string(), arguments: z.string() }),
})

export const message = z.looseObject({
  role: z.enum(['system', 'developer', 'user', 'assistant', 'tool', 'function']),
  content: z.union([z.string(), z.array(part)], { error: 'Invalid input: expected a string or a list of parts' }).nullish(),
  name: z.string().nullish(),
  tool_calls: z.array(toolCall).nullish(),
  tool_call_id: z.string().nullish(),
})
export type Message = z.infer<typeof message>

export const tool = z.looseObject({
  type: z.string(),
  function: z
    .looseObject({
      name: z.string().min(1).max(256),
      description: z.string().nullish(),
      parameters: anyObject.nullish(),
      strict: z.boolean().nullish(),
    })
    .optional(),
})
export type Tool = z.infer<typeof tool>

export const toolChoice = z.union(
  [
    z.enum(['none', 'auto', 'required']),
    z.looseObject({ type: z.string(), function: z.looseObject({ name: z.string() }).optional() }),
  ],
  { error: 'Invalid input: expected "none", "auto", "required" or an object with a type' },
)

export const responseFormat = z.looseObject({
  type: z.enum(['text', 'json_object', 'json_schema', 'regex']),
  json_schema: z
    .looseObject({
      name: z.string().optional(),
      schema: anyObject.optional(),
      strict: z.boolean().nullish(),
    })
    .optional(),
  pattern: z.string().optional(),
})
export type ResponseFormat = z.infer<typeof responseFormat>

export const chatRequest = z.object({
  model: modelField,
  messages: z.array(message).min(1),
  ...samplingFields,
  ...streamFields,
  n: z.int().min(1).nullish(),
  max_tokens: z.int().min(1).nullish(),
  max_completion_tokens: z.int().min(1).nullish(),
  logprobs: z.boolean().nullish(),
  top_logprobs: z.int().min(0).nullish(),
  tools: z.array(tool).nullish(),
  tool_choice: toolChoice.nullish(),
  parallel_tool_calls: z.boolean().nullish(),
  response_format: responseFormat.nullish(),
  reasoning_effort: z.string().nullish(),
  chat_template_kwargs: anyObject.nullish().describe("Further variables of the model's chat template."),
})
export type ChatRequest = z.infer<typeof chatRequest>
