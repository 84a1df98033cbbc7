/** A decoder without a model, for what a scheduler decides: it continues every id with the next one, and notes its steps. */
import { type ModelConfig, parseModelConfig } from '../../checkpoint/index.ts'
import type { Decoder, DecoderOutput, DecoderRow, RowCache } from '../../runtime/index.ts'
import { Engine } from '../engine.ts'
import { Model } from '../model.ts'

export interface FakeOptions {
  readonly ragged: boolean
  /** Stream sets beside the plain model. */
  readonly p?: readonly number[]
  readonly vocabSize?: number
  readonly context?: number
}

export class FakeDecoder implements Decoder {
  readonly ragged: boolean
  readonly #vocabSize: number
  /** Of every step: new ids and cached ids of each row. */
  readonly steps: { readonly ids: number; readonly length: number }[][] = []
  /** Rows of logits of every product. */
  readonly products: number[] = []
  openRows = 0
  /** A step with this id comes out broken, in the row that has it. */
  brokenId: number | undefined

  constructor({ ragged, vocabSize = 300 }: FakeOptions) {
    this.ragged = ragged
    this.#vocabSize = vocabSize
  }

  openCache(): RowCache {
    const decoder = this
    let next = 0
    return {
      get memoryBytes() {
        return decoder.openRows
      },
      positionBytes: 1,
      openRows(count) {
        decoder.openRows += count
        return Array.from({ length: count }, () => next++)
      },
      closeRows(rows) {
        decoder.openRows -= rows.length
      },
      copyRows() {},
      writePrefix() {},
      step: (rows) => decoder.#step(rows),
    }
  }

  /** Hidden states [.., 1] are the ids themselves. */
  async #step(rows: readonly DecoderRow[]): Promise<DecoderOutput> {
    this.steps.push(rows.map(({ ids, length }) => ({ ids: ids.length, length })))
    await new Promise((resolve) => setImmediate(resolve))
    const hidden = Float32Array.from(rows.flatMap(({ ids, wanted }) => ids.slice(ids.length - wanted)))
    const broken = rows.filter(({ ids }) => this.brokenId !== undefined && ids.includes(this.brokenId))
    return { hidden, broken: new Set(broken.map(({ row }) => row)) }
  }

  async logits(hidden: Float32Array): Promise<Float32Array> {
    const logits = new Float32Array(hidden.length * this.#vocabSize)
    for (const [i, id] of hidden.entries()) logits[i * this.#vocabSize + ((id + 1) % this.#vocabSize)] = 1
    this.products.push(hidden.length)
    return logits
  }

  async aggregate(p: number, streams: Float32Array): Promise<{ hidden: Float32Array; weights: Float32Array }> {
    return { hidden: streams.filter((_, i) => i % p === 0), weights: new Float32Array(streams.length).fill(1 / p) }
  }

  async dispose(): Promise<void> {}
}

export function fakeEngine(options: FakeOptions): { engine: Engine; decoder: FakeDecoder } {
  const { vocabSize = 300, context = 4096, p = [] } = options
  const json = {
    ...{ model_type: 'llama', hidden_act: 'silu', vocab_size: vocabSize, hidden_size: 1, intermediate_size: 1, head_dim: 2 },
    ...{ num_hidden_layers: 1, num_attention_heads: 1, num_key_value_heads: 1, max_position_embeddings: context },
    ...{ rms_norm_eps: 1e-6, rope_theta: 10000, tie_word_embeddings: true },
  }
  const config: ModelConfig = parseModelConfig(json)
  const streamSets = p.map((n) => ({
    config: { ...config, parscale: { ...config.parscale, n, nTokens: 0 } },
    ...{ findWeight: () => undefined as never, prefixes: [], prefixScores: Array<number>(n).fill(0), adapters: new Map() },
  }))
  const decoder = new FakeDecoder(options)
  return { engine: new Engine(new Model({ config, streamSets }, decoder)), decoder }
}
