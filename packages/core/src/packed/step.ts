/** What all that steps packed models has in common: native code, and WebAssembly in a page. */
import { adapterBank, type ModelFiles } from '../generation/index.ts'
import {
  biasName,
  embeddingName,
  gainName,
  inputScaleName,
  layerByRole,
  linearInputs,
  linearLayers,
  loraName,
  outputScaleName,
  type RopeTable,
} from '../model/index.ts'
import type { DecoderRow } from '../runtime/index.ts'

/** R rows that take a step, with M new tokens together, row after row. A row must not stand twice. */
export interface StepBatch {
  /** From `openRow`. [R] */
  readonly rows: Int32Array
  /** Places in front of the sequence that every token sees, written by `writePrefix`. [R] */
  readonly prefixes: Int32Array
  /** Added to the scores of these. [R] */
  readonly prefixScores: Float32Array
  /** Tokens that are in the cache behind the prefix; what lies further behind is forgotten. [R] */
  readonly lengths: Int32Array
  /** New tokens, one at least. [R] */
  readonly counts: Int32Array
  /** Number of the row's adapter (`openAdapters`); 0: none. [R] */
  readonly adapters: Int32Array
  /** [M] */
  readonly ids: Int32Array
  /** Rotary tables of the tokens' positions. [M, headDim / 2] */
  readonly cosines: Float32Array
  readonly sines: Float32Array
  /** 1: this token's hidden state is wanted. [M] */
  readonly wanted: Uint8Array
}

export interface StepOutput {
  /** After the final norm, of the wanted tokens only: [wanted, hidden]. */
  readonly hidden: Float32Array
  /** 0: the keys or values of this row's new tokens are NaN or infinite, and were not kept. [R] */
  readonly finite: Uint8Array
}

/** The batch of a step. */
export function stepBatch(rows: readonly DecoderRow[], rope: RopeTable): StepBatch {
  const half = rope.half
  const tokens = rows.reduce((sum, { ids }) => sum + ids.length, 0)
  const ids = new Int32Array(tokens)
  const wanted = new Uint8Array(tokens)
  const [cosines, sines] = [new Float32Array(tokens * half), new Float32Array(tokens * half)]
  let at = 0
  for (const row of rows) {
    ids.set(row.ids, at)
    rope.fill(cosines, sines, at * half, row.firstPosition + row.length, row.ids.length)
    at += row.ids.length
    wanted.fill(1, at - row.wanted, at)
  }
  return {
    rows: Int32Array.from(rows, ({ row }) => row),
    prefixes: Int32Array.from(rows, ({ prefix }) => prefix),
    prefixScores: Float32Array.from(rows, ({ prefixScore }) => prefixScore),
    lengths: Int32Array.from(rows, ({ length }) => length),
    counts: Int32Array.from(rows, ({ ids }) => ids.length),
    adapters: Int32Array.from(rows, ({ adapter }) => adapter),
    ids,
    cosines,
    sines,
    wanted,
  }
}

/** In the order of adapters.h. */
export const adapterKinds = [
  'inputScale',
  'outputScale',
  'bias',
  'loraA',
  'loraB',
  'inputNorm',
  'postNorm',
  'finalNorm',
  'embeddingScale',
  'embeddingBias',
] as const
export type AdapterKind = (typeof adapterKinds)[number]

/** What streams own beside prefixes, by numbers that rows name; 0 is none. */
export interface AdapterRoom {
  openAdapters(count: number, rank: number): void
  /** @param part which input or linear layer */
  writeAdapters(kind: AdapterKind, layer: number, part: number, values: Float32Array): void
}

/** [N, P, H] to their mean [N, H], as the graph does it: the first, and what the others differ by. */
export function averageOfStreams(P: number, H: number, streams: Float32Array): { hidden: Float32Array; weights: Float32Array } {
  const N = streams.length / (P * H)
  const hidden = new Float32Array(N * H)
  for (let i = 0; i < N * H; i++) {
    const first = Math.floor(i / H) * P * H + (i % H)
    let sum = 0
    for (let p = 1; p < P; p++) sum += (streams[first + p * H]! - streams[first]!) / P
    hidden[i] = streams[first]! + sum
  }
  return { hidden, weights: new Float32Array(N * P).fill(1 / P) }
}

/** What streams own beside prefixes goes to the model once, under numbers that rows name. */
export function writeAdapters(model: AdapterRoom, { config, streamSets }: ModelFiles): void {
  const bank = adapterBank(streamSets)
  if (bank.size === 0) return
  const write = (name: string, kind: AdapterKind, layer: number, part: number) => {
    const tensor = bank.get(name)
    if (tensor) model.writeAdapters(kind, layer, part, tensor.values)
  }
  const [count] = [...bank.values()][0]!.shape as [number]
  model.openAdapters(count, Math.max(0, ...streamSets.map((set) => set.config.parscale.loraRank)))
  for (let layer = 0; layer < config.numHiddenLayers; layer++) {
    const at = `model.layers.${layer}`
    for (const [part, { name }] of Object.values(linearInputs).entries())
      write(inputScaleName(`${at}.${name}`), 'inputScale', layer, part)
    for (const [part, { name }] of linearLayers(config, layer).entries()) {
      write(outputScaleName(name), 'outputScale', layer, part)
      write(biasName(name), 'bias', layer, part)
      write(loraName(name, 'A'), 'loraA', layer, part)
      write(loraName(name, 'B'), 'loraB', layer, part)
    }
    for (const norm of ['inputNorm', 'postNorm'] as const)
      write(gainName(layerByRole(config, layer).get(norm)!.layer), norm, layer, 0)
  }
  write(gainName('model.norm'), 'finalNorm', 0, 0)
  write(outputScaleName(embeddingName), 'embeddingScale', 0, 0)
  write(biasName(embeddingName), 'embeddingBias', 0, 0)
}
