/** Whether an answer is what OpenAI's own document says of it (fixtures/openai). */
import { readFileSync } from 'node:fs'
import { Ajv2020 } from 'ajv/dist/2020.js'

const path = new URL('../../../../../fixtures/openai/schemas.json', import.meta.url)
const document = JSON.parse(readFileSync(path, 'utf8')) as { components: { schemas: Record<string, unknown> } }
/** `nullable` is OpenAPI 3.0's, and still in some of the schemas. */
function readNullable(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(readNullable)
  if (typeof schema !== 'object' || schema === null) return schema
  const { nullable, ...rest } = schema as Record<string, unknown>
  const read = Object.fromEntries(Object.entries(rest).map(([key, value]) => [key, readNullable(value)]))
  return nullable === true ? { anyOf: [read, { type: 'null' }] } : read
}

const ajv = new Ajv2020({ strict: false, validateFormats: false, allErrors: false })
ajv.addSchema({ $id: 'openai', ...(readNullable(document) as object) })

export type AnswerName =
  | 'CreateChatCompletionResponse'
  | 'CreateChatCompletionStreamResponse'
  | 'CreateCompletionResponse'
  | 'CreateEmbeddingResponse'
  | 'ListModelsResponse'
  | 'Response'
  | 'ResponseStreamEvent'
  | 'ErrorResponse'

/** What is wrong with an answer; undefined: nothing. */
export function schemaError(name: AnswerName, answer: unknown): string | undefined {
  const validate = ajv.getSchema(`openai#/components/schemas/${name}`)!
  return validate(answer) ? undefined : ajv.errorsText(validate.errors)
}
