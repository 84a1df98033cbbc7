/** /v1/embeddings: hidden states of the model, of unit length. */
import { type Answer, usageOf } from '../answer.ts'
import { modelFor, type ServerContext } from '../context.ts'
import { unsupported } from '../errors.ts'
import { enqueue } from '../generate.ts'
import type { EmbeddingRequest } from '../protocol/completions.ts'
import type { RequestScope } from '../scope.ts'
import { countPrompts, promptsOf } from './completions.ts'

/** What the output embedding reads: behind the final norm, streams aggregated. `mean` of all tokens, or the `last` one's. */
export async function embeddings(request: EmbeddingRequest, scope: RequestScope, context: ServerContext): Promise<Answer> {
  const { model, p } = await modelFor(request.model, request.parscale, scope, context, countPrompts(request.input))
  const { scheduler } = model.text
  const { hiddenSize } = model.text.model.config
  if ((request.dimensions ?? hiddenSize) !== hiddenSize)
    throw unsupported(`dimensions: ${model.id} has ${hiddenSize}, and they cannot be cut`, 'dimensions')
  const prompts = await promptsOf(request.input, model, 'input', scope, context)
  const { begun } = enqueue(model, prompts.length, scope, context)
  const hidden = request.pooling ?? 'mean'
  const vectors = await Promise.all(
    prompts.map(async (promptIds, i) => {
      const result = await scheduler.submit({
        ...{ promptIds, maxTokens: 0, hidden, p },
        ...{ owner: scope, signal: scope.signal, onPrefill: begun[i] },
      })
      return unit(result.hidden!)
    }),
  )
  const tokens = prompts.reduce((sum, ids) => sum + ids.length, 0)
  scope.record.numbers.promptTokens = tokens
  const { prompt_tokens, total_tokens } = usageOf(tokens, 0, 0)
  const data = vectors.map((vector, index) => ({
    object: 'embedding',
    index,
    embedding: request.encoding_format === 'base64' ? base64(vector) : [...vector],
  }))
  return { json: { object: 'list', data, model: request.model, usage: { prompt_tokens, total_tokens }, parscale: { p } } }
}

function unit(vector: Float32Array): Float32Array {
  const length = Math.hypot(...vector) || 1
  return Float32Array.from(vector, (x) => x / length)
}

/** Of little-endian float32, as OpenAI's clients read it. */
function base64(vector: Float32Array): string {
  const view = new DataView(new ArrayBuffer(4 * vector.length))
  for (const [i, value] of vector.entries()) view.setFloat32(4 * i, value, true)
  let text = ''
  for (const byte of new Uint8Array(view.buffer)) text += String.fromCharCode(byte)
  return btoa(text)
}
