/**
 * What generation steps: a loaded backbone, and the keys and values of its rows. It knows nothing of P, text or sampling; what
 * makes P rows the streams of one sequence is their caller's business (generation/engine.ts).
 *
 * There are two: over graphs, for any Runtime (generation/graph-decoder.ts), and in native code, for CPUs (@parscale/native).
 */
export interface Decoder {
  /** Whether rows of different length share a step at the cost of their own tokens. False: all cost as much as the longest. */
  readonly ragged: boolean
  /** Rows of their own. Steps of different caches of one decoder take turns. */
  openCache(): RowCache
  /**
   * The output embedding: [N, hidden] to [N, vocabulary].
   *
   * @param room the result may be written there, over the one of the call before. Default: it stays as it is
   */
  logits(hidden: Float32Array, room?: LogitsRoom): Promise<Float32Array>
  /** The same with what makes probabilities of each row. Absent: callers work that out themselves. */
  normalisedLogits?(hidden: Float32Array, room?: LogitsRoom): Promise<NormalisedLogits>
  /** The aggregator of the stream set with P > 1 streams: [N, P, hidden] to [N, hidden], and each stream's weight [N, P]. */
  aggregate(p: number, streams: Float32Array): Promise<{ hidden: Float32Array; weights: Float32Array }>
  /** Frees native memory. The decoder cannot be used afterwards; a step under way may fail. */
  dispose(): Promise<void>
}

export interface NormalisedLogits {
  /** [N, vocabulary] */
  readonly logits: Float32Array
  /** ln of the sum of exp(logits) of each row, NaN where one is not finite: [N]. */
  readonly normalisers: Float64Array
  /** The largest of each row, likewise: [N]. */
  readonly largest: Float32Array
}

/** Memory for logits that one caller has again and again: megabytes each, which take time to be made and to be freed. */
export interface LogitsRoom {
  /** The decoder's. */
  values?: Float32Array
}

/** Rows by number. Nothing but `memoryBytes` and `positionBytes` may be called while a step is under way. */
export interface RowCache {
  readonly memoryBytes: number
  /** Bytes of one position of one row, keys and values of all layers. */
  readonly positionBytes: number
  /**
   * Rows without tokens.
   *
   * @param positions that each is certain to need: room made at once need not grow in steps
   */
  openRows(count: number, positions: number): number[]
  closeRows(rows: readonly number[]): void
  /** Makes `targets[i]` a copy of what `sources[i]` was, all at once. */
  copyRows(targets: readonly number[], sources: readonly number[]): void
  /** Puts keys and values of a layer, [kvHeads, n, headDim] each, into the first n positions of a row. */
  writePrefix(row: number, layer: number, key: Float32Array, value: Float32Array): void
  /** One step of different rows, with one new token at least each. */
  step(rows: readonly DecoderRow[]): Promise<DecoderOutput>
}

/** A row's part in a step. */
export interface DecoderRow {
  readonly row: number
  /** New tokens. */
  readonly ids: readonly number[]
  /** Positions in front of the first token that every token sees. */
  readonly prefix: number
  /** Added to the scores of these positions (model/stream-gate.ts). */
  readonly prefixScore: number
  /** Tokens that are in the cache behind the prefix; what lies further behind is forgotten. */
  readonly length: number
  /** Position of the sequence's first token; 0 but where a caller wants otherwise. */
  readonly firstPosition: number
  /** Number of the row's adapter (model/adapters.ts); 0: none. */
  readonly adapter: number
  /** The row of the step whose keys and values it attends to in front of the last `ownWindow` tokens (model/own-window.ts). */
  readonly sharedRow: number
  /** null: it attends to its own of all tokens. */
  readonly ownWindow: number | null
  /** Hidden states are wanted of so many of the new tokens, the last ones. */
  readonly wanted: number
}

export interface DecoderOutput {
  /** After the final norm, row after row, of the wanted tokens only: [wanted, hidden]. */
  readonly hidden: Float32Array
  /** Rows whose new keys or values are NaN or infinite; their new tokens were not kept. */
  readonly broken: ReadonlySet<number>
}
