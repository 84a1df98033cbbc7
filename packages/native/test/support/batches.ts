/** Steps as the border takes them: new tokens for empty rows. */
import type { NativeModel, StepBatch } from '../../src/index.ts'

export const batch = (model: NativeModel, rows: readonly number[], count: number): StepBatch => ({
  rows: Int32Array.from(rows),
  prefixes: new Int32Array(rows.length),
  prefixScores: new Float32Array(rows.length),
  lengths: new Int32Array(rows.length),
  counts: new Int32Array(rows.length).fill(count),
  adapters: new Int32Array(rows.length),
  ids: new Int32Array(rows.length * count).fill(65),
  cosines: new Float32Array((rows.length * count * model.facts.headDim) / 2).fill(1),
  sines: new Float32Array((rows.length * count * model.facts.headDim) / 2),
  wanted: new Uint8Array(rows.length * count),
})

export const openRows = (model: NativeModel, n: number): number[] => model.openRows(n)
