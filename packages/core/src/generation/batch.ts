/**
 * One step's inputs besides the cache: token ids, rotary tables and masks for a ragged set of rows.
 * Everything that tells rows apart (prefix, length, padding, window) ends here; the backbone sees only numbers.
 */
import { Tensor } from 'onnxruntime-common'
import { type ModelConfig, maskName, type RopeTable, rotaryHalf, windowsOf } from '../model/index.ts'
import type { DecoderRow } from '../runtime/index.ts'

/** Rows shorter than the longest are padded on the right, with their own last token; padding is never seen nor stored. */
export type BatchRow = Pick<DecoderRow, 'ids' | 'prefix' | 'length' | 'firstPosition'> & Partial<Pick<DecoderRow, 'prefixScore'>>

/** Added to the score of what must not be seen: its softmax weight is exactly 0 in float32. */
export const hiddenScore = -1e30

/** Feeds `input_ids` [R, T], `cos`, `sin` [R, T, rotaryHalf] and one mask [R, 1, T, capacity + T] per window. */
export function batchFeeds(
  config: ModelConfig,
  rope: RopeTable,
  rows: readonly BatchRow[],
  capacity: number,
): Record<string, Tensor> {
  const tokens = Math.max(...rows.map((row) => row.ids.length))
  const half = rotaryHalf(config)
  const ids = new BigInt64Array(rows.length * tokens)
  const cos = new Float32Array(rows.length * tokens * half)
  const sin = new Float32Array(rows.length * tokens * half)
  for (const [r, row] of rows.entries()) {
    // Its own token: what is hidden weighs 0, but 0 times a NaN out of another token's embedding would be NaN.
    for (let t = 0; t < tokens; t++) ids[r * tokens + t] = BigInt(row.ids[Math.min(t, row.ids.length - 1)]!)
    rope.fill(cos, sin, r * tokens * half, row.firstPosition + row.length, row.ids.length)
  }
  const feeds: Record<string, Tensor> = {
    input_ids: new Tensor('int64', ids, [rows.length, tokens]),
    cos: new Tensor('float32', cos, [rows.length, tokens, half]),
    sin: new Tensor('float32', sin, [rows.length, tokens, half]),
  }
  for (const window of windowsOf(config)) {
    feeds[maskName(window)] = new Tensor('float32', mask(rows, tokens, capacity, window), [
      rows.length,
      1,
      tokens,
      capacity + tokens,
    ])
  }
  return feeds
}

/** Row r, new token t, position s: 0 where t sees s. Positions are the cache's, then the new tokens'. */
function mask(rows: readonly BatchRow[], tokens: number, capacity: number, window: number | null): Float32Array {
  const positions = capacity + tokens
  const out = new Float32Array(rows.length * tokens * positions).fill(hiddenScore)
  for (const [r, { ids, prefix, prefixScore = 0, length }] of rows.entries()) {
    for (let t = 0; t < tokens; t++) {
      const line = (r * tokens + t) * positions
      // The token's index in its sequence, and the first index that the window lets it see.
      const index = length + t
      const first = window === null ? 0 : Math.max(0, index - window + 1)
      out.fill(prefixScore, line, line + prefix)
      if (first < length) out.fill(0, line + prefix + first, line + prefix + length)
      const firstNew = Math.max(0, first - length)
      out.fill(0, line + capacity + firstNew, line + capacity + Math.max(firstNew, Math.min(t + 1, ids.length)))
    }
  }
  return out
}
