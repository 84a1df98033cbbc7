/**
 * One step's inputs besides the cache: token ids, rotary tables and masks for a ragged set of rows.
 * Everything that tells rows apart (prefix, length, padding, window) ends here; the backbone sees only numbers.
 */
import { Tensor } from 'onnxruntime-common'
import { type ModelConfig, maskName, type RopeTable, rotaryHalf, windowsOf } from '../model/index.ts'
import type { DecoderRow } from '../runtime/index.ts'

/** Rows shorter than the longest are padded on the right, with their own last token; padding is never seen nor stored. */
export type BatchRow = Pick<DecoderRow, 'ids' | 'prefix' | 'length' | 'firstPosition'> &
  Partial<Pick<DecoderRow, 'prefixScore' | 'ownWindow'>>

/** Added to the score of what must not be seen: its softmax weight is exactly 0 in float32. */
export const hiddenScore = -1e30

/**
 * Feeds `input_ids` [R, T], `cos`, `sin` [R, T, rotaryHalf] and one mask [R, 1, T, capacity + T] per window; where rows share keys and
 * values (model/own-window.ts) as many places of the shared row follow: [R, 1, T, 2 (capacity + T)].
 */
export function batchFeeds(
  config: ModelConfig,
  rope: RopeTable,
  rows: readonly BatchRow[],
  capacity: number,
  { shared = false }: { readonly shared?: boolean } = {},
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
    const places = (capacity + tokens) * (shared ? 2 : 1)
    feeds[maskName(window)] = new Tensor('float32', mask(rows, tokens, capacity, window, places), [
      rows.length,
      1,
      tokens,
      places,
    ])
  }
  return feeds
}

/** Row r, new token t, place s: 0 where t sees s. Places are the cache's, then the new tokens', then, where there are more, both of the shared row. */
function mask(rows: readonly BatchRow[], tokens: number, capacity: number, window: number | null, places: number): Float32Array {
  const out = new Float32Array(rows.length * tokens * places).fill(hiddenScore)
  for (const [r, { ids, prefix, prefixScore = 0, length, ownWindow = null }] of rows.entries()) {
    /** Tokens from index `from` up to `to`, exclusive, which stand behind the prefix of a row whose places begin at `start`. */
    const see = (start: number, from: number, to: number) => {
      if (from < length) out.fill(0, start + prefix + from, start + prefix + Math.min(to, length))
      const [first, end] = [Math.max(0, from - length), Math.min(to - length, ids.length)]
      if (first < end) out.fill(0, start + capacity + first, start + capacity + end)
    }
    for (let t = 0; t < tokens; t++) {
      const line = (r * tokens + t) * places
      // The token's index in its sequence, and the first index that the window lets it see.
      const index = length + t
      const first = window === null ? 0 : Math.max(0, index - window + 1)
      const firstOwn = ownWindow === null ? first : Math.max(first, index - ownWindow + 1)
      out.fill(prefixScore, line, line + prefix)
      see(line, firstOwn, index + 1)
      if (firstOwn > first) see(line + capacity + tokens, first, firstOwn)
    }
  }
  return out
}
