/** An engine as its contract knows it. */
import type { KvType, ModelConfig } from '../../model/index.ts'
import type { LoadEngine } from '../../testing/fixtures.ts'

export interface EngineKind {
  readonly load: LoadEngine<{ readonly threads?: number; readonly kv?: KvType }>
  /** How far a logit may be from the one computed alone and in one shot; 0: the same bits. */
  readonly tolerance: number
  /** Why it does not run a model; undefined where it does. Default: it runs all. */
  readonly refusal?: (config: ModelConfig) => string | undefined
}
