/** /v1/models, and loading and unloading by name. */
import type { Answer } from '../answer.ts'
import type { ServerContext } from '../context.ts'
import type { ModelStatus } from '../models.ts'
import type { RequestScope } from '../scope.ts'

const about = ({ id, state, problem, pinned, users, lastUsed, loaded }: ModelStatus, created: number) => ({
  id,
  object: 'model',
  created,
  owned_by: 'parscale',
  ...(loaded && { max_model_len: loaded.text.model.config.maxPositionEmbeddings }),
  parscale: {
    state,
    ...(problem !== undefined && { problem }),
    pinned,
    requests: users,
    last_used: lastUsed === 0 ? null : Math.floor(lastUsed / 1000),
    ...(loaded && {
      p: loaded.text.model.availableP,
      rows: loaded.text.scheduler.counters.rows,
      cache_bytes: loaded.text.scheduler.counters.cacheBytes,
      tools: loaded.form.tools ?? null,
      reasoning: loaded.form.reasoning !== undefined,
    }),
  },
})

export const listModels = ({ registry }: ServerContext, created: number): Answer => ({
  json: { object: 'list', data: registry.statuses.map((status) => about(status, created)) },
})

export function oneModel(name: string, { registry }: ServerContext, created: number): Answer {
  const { id } = registry.find(name)
  return { json: { ...about(registry.statuses.find((status) => status.id === id)!, created), id: name } }
}

export async function loadModel(
  name: string,
  { signal }: RequestScope,
  context: ServerContext,
  created: number,
): Promise<Answer> {
  const { registry, limits } = context
  await registry.load(registry.find(name).id, { signal, most: limits.queue })
  return oneModel(name, context, created)
}

export async function unloadModel(name: string, context: ServerContext, created: number): Promise<Answer> {
  await context.registry.unload(context.registry.find(name).id)
  return oneModel(name, context, created)
}
