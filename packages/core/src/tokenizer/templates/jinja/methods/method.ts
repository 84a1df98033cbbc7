/** A method of a built-in type. */
import type { Runtime } from '../runtime.ts'
import type { Value } from '../values.ts'

export interface Method<Self> {
  /** As Python writes them; see `signature`. */
  readonly parameters: string
  run(runtime: Runtime, self: Self, args: readonly Value[]): Value
}
