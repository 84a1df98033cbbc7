/** What all endpoints share. */
import type { TextModel, TokenConstraint } from '../generation/index.ts'
import type { ServerLimits } from './limits.ts'
import type { Metrics } from './metrics.ts'
import type { LoadedModel, ModelRegistry } from './models.ts'
import type { ToolForm } from './output/form.ts'
import type { RequestScope } from './scope.ts'
import { chooseStreams, type StreamPolicy } from './streams.ts'

/** What a text must be. */
export type FormatDemand =
  | { readonly kind: 'json' }
  | { readonly kind: 'schema'; readonly schema: unknown }
  | { readonly kind: 'regex'; readonly pattern: string }

/** What an answer must obey, as a request says it. */
export type Demand =
  | FormatDemand
  /** Calls of these tools, and nothing else, but for a text of the format `otherwise`. */
  | {
      readonly kind: 'calls'
      readonly form: ToolForm
      readonly tools: readonly { readonly name: string; readonly parameters: unknown }[]
      readonly parallel: boolean
      readonly otherwise?: FormatDemand
    }

/**
 * Makes a constraint for one answer; aborted, it may give up.
 *
 * @throws usage or unsupported error that names what it does not do
 */
export type Constrain = (text: TextModel, demand: Demand, signal?: AbortSignal) => TokenConstraint | Promise<TokenConstraint>

export interface ServerContext {
  readonly registry: ModelRegistry
  readonly limits: ServerLimits
  readonly metrics: Metrics
  readonly policy: StreamPolicy
  readonly constrain: Constrain
  /** Where errors that nobody expected go. */
  readonly report: (error: unknown) => void
}

/**
 * The model that a request names, kept until the request ends, and the P that it gets.
 *
 * @param texts that the request asks for
 */
export async function modelFor(
  name: string | undefined,
  asked: { readonly p?: number | 'auto' | null } | null | undefined,
  scope: RequestScope,
  { registry, policy, limits }: ServerContext,
  texts = 1,
): Promise<{ model: LoadedModel; p: number }> {
  const { id, p: suffix } = registry.find(name)
  const { model, release } = await registry.acquire(id, { signal: scope.signal, most: limits.queue })
  scope.hold(release)
  scope.record.model = id
  model.texts += texts
  scope.hold(() => {
    model.texts -= texts
  })
  const p = chooseStreams(model.text, asked?.p ?? suffix, model.texts, policy)
  scope.record.p = p
  return { model, p }
}
