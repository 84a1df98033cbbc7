/** /tokenize, /detokenize and the models' own endpoints: what comes in. */
import { z } from 'zod'
import { message } from './chat.ts'
import { modelField, tokenIds } from './fields.ts'

export const tokenizeRequest = z
  .object({
    model: modelField.optional(),
    prompt: z.string().optional(),
    messages: z.array(message).optional(),
    add_special_tokens: z.boolean().nullish(),
    add_generation_prompt: z.boolean().nullish(),
    return_token_strs: z.boolean().nullish(),
  })
  .meta({ oneOf: [{ required: ['prompt'] }, { required: ['messages'] }] })

export const detokenizeRequest = z.object({ model: modelField.optional(), tokens: tokenIds })

export const modelRequest = z.object({ model: modelField })
