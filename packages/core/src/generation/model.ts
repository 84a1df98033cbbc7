/** A model that can run: a decoder, and a stream set for each P. */
import { usageError } from '../errors.ts'
import type { LayerPrefix, ModelConfig } from '../model/index.ts'
import type { Decoder, Runtime } from '../runtime/index.ts'
import { firstAdapters } from './adapter-bank.ts'
import type { DecoderOptions } from './decoder-kind.ts'
import type { ModelFiles } from './model-files.ts'

/** What makes P streams out of one backbone. */
export interface StreamSet {
  /** The configuration it was trained with: P, prefix length and smoothing count. */
  readonly config: ModelConfig
  readonly prefixes: readonly LayerPrefix[]
  /** Added to the scores of each stream's prefix: 0 where it has no gate. [P] */
  readonly prefixScores: readonly number[]
  /** Number of stream 0's adapter (adapter-bank.ts); the others follow. 0: none of them has one. */
  readonly firstAdapter: number
}

export class Model {
  readonly config: ModelConfig
  readonly decoder: Decoder
  /** How most weights are stored: `4 bits`, `float32`. */
  readonly weights: string
  readonly #streamSets: ReadonlyMap<number, StreamSet>
  #disposal: Promise<void> | undefined

  /** @param decoder of these files; the model disposes of it */
  constructor(
    { config, streamSets, weights = 'float32' }: Pick<ModelFiles, 'config' | 'streamSets'> & Partial<Pick<ModelFiles, 'weights'>>,
    decoder: Decoder,
  ) {
    this.config = config
    this.weights = weights
    this.decoder = decoder
    const first = firstAdapters(streamSets)
    this.#streamSets = new Map(
      streamSets.map(({ config, prefixes, prefixScores }, i) => [
        config.parscale.n,
        { config, prefixes, prefixScores, firstAdapter: first[i]! },
      ]),
    )
  }

  /** Over graphs. @throws as `runtime.createSession`; nothing is left open then */
  static async load(runtime: Runtime, files: ModelFiles, options: Pick<DecoderOptions, 'kv'> = {}): Promise<Model> {
    const { GraphDecoder } = await import('./graph-decoder.ts')
    return new Model(files, await GraphDecoder.load(runtime, files, options))
  }

  /** The P that this model can run with, ascending. 1 is always there: the plain backbone, or a set of one stream. */
  get availableP(): number[] {
    return [...new Set([1, ...this.#streamSets.keys()])].sort((a, b) => a - b)
  }

  /** The largest P: what is used when nobody chooses. */
  get defaultP(): number {
    return this.availableP.at(-1)!
  }

  /** Undefined for the plain backbone. @throws usage error for a P that the model does not have */
  streamSet(p: number): StreamSet | undefined {
    const set = this.#streamSets.get(p)
    if (!set && p !== 1)
      throw usageError(`P = ${p}: this model has no such stream set; it has P = ${this.availableP.join(', ')}`, {
        flag: 'p',
        found: p,
      })
    return set
  }

  get isDisposed(): boolean {
    return this.#disposal !== undefined
  }

  /** Frees the decoder's memory, once; the model cannot be used afterwards. */
  dispose(): Promise<void> {
    this.#disposal ??= this.decoder.dispose()
    return this.#disposal
  }
}
