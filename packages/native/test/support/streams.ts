/** Sequences of P streams on a native model: the least that goldens and mixtures need, as an engine would do it. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type ModelFiles, modelFiles } from '@parscale/core/internal/generation'
import { RopeTable } from '@parscale/core/internal/model'
import { openModelFolder } from '@parscale/core/internal/node'
import type { StepBatch } from '@parscale/core/internal/packed'
import { planAggregator, planBackbone } from '@parscale/core/internal/packed'
import { NativeAggregator, NativeModel, type NativeModelOptions } from '../../src/native-model.ts'
import { writePacked } from '../../src/pack.ts'

export interface Sequence {
  readonly p: number
  readonly rows: readonly number[]
  length: number
}

export interface Work {
  readonly sequence: Sequence
  readonly ids: readonly number[]
}

/** Of all new tokens of a sequence: [n, P, H], [n, P], [n, H] and [n, vocabulary]. */
export interface Result {
  readonly streams: Float32Array
  readonly weights: Float32Array
  readonly hidden: Float32Array
  readonly logits: Float32Array
}

/** A model folder, packed into files that `remove` removes. */
export interface PackedFolder {
  readonly files: ModelFiles
  readonly backbone: string
  readonly aggregators: ReadonlyMap<number, string>
  remove(): void
}

export async function packFolder(folder: string): Promise<PackedFolder> {
  const open = await openModelFolder(folder)
  const into = mkdtempSync(join(tmpdir(), 'parscale-native-'))
  const files = await modelFiles(open)
  const backbone = join(into, 'backbone')
  await writePacked(backbone, planBackbone(files.config, files.findWeight, files.tied), 2)
  const aggregators = new Map<number, string>()
  for (const { config, findWeight } of files.streamSets) {
    if (config.parscale.n === 1) continue
    const path = join(into, `aggregator-p${config.parscale.n}`)
    await writePacked(path, planAggregator(config, findWeight), 2)
    aggregators.set(config.parscale.n, path)
  }
  await open.close()
  return { files, backbone, aggregators, remove: () => rmSync(into, { recursive: true }) }
}

export class Streams {
  readonly model: NativeModel
  readonly #files: ModelFiles
  readonly #rope: RopeTable
  readonly #aggregators = new Map<number, NativeAggregator>()

  constructor(packed: PackedFolder, options: NativeModelOptions = {}) {
    this.#files = packed.files
    this.#rope = new RopeTable(packed.files.config)
    this.model = new NativeModel(packed.backbone, options)
    for (const [p, path] of packed.aggregators) this.#aggregators.set(p, new NativeAggregator(path))
  }

  get config() {
    return this.#files.config
  }

  #set(p: number) {
    return this.#files.streamSets.find(({ config }) => config.parscale.n === p)
  }

  open(p = this.config.parscale.n): Sequence {
    const rows = this.model.openRows(p)
    const set = this.#set(p)
    for (const [layer, { key, value }] of (set?.prefixes ?? []).entries()) {
      for (const [stream, row] of rows.entries()) this.model.writePrefix(row, layer, key(stream), value(stream))
    }
    return { p, rows, length: 0 }
  }

  close(sequence: Sequence): void {
    this.model.closeRows(sequence.rows)
  }

  /** All new tokens of these, whose hidden states are all wanted. */
  batch(work: readonly Work[]): StepBatch {
    const { headDim } = this.config
    const rows = work.flatMap(({ sequence, ids }) => sequence.rows.map((row, stream) => ({ row, stream, ids, sequence })))
    const tokens = rows.reduce((sum, { ids }) => sum + ids.length, 0)
    const cosines = new Float32Array((tokens * headDim) / 2)
    const sines = new Float32Array((tokens * headDim) / 2)
    let at = 0
    for (const { ids, sequence } of rows) {
      this.#rope.fill(cosines, sines, (at * headDim) / 2, sequence.length, ids.length)
      at += ids.length
    }
    return {
      rows: Int32Array.from(rows, ({ row }) => row),
      prefixes: Int32Array.from(rows, ({ sequence }) => this.#set(sequence.p)?.config.parscale.nTokens ?? 0),
      prefixScores: Float32Array.from(rows, ({ sequence, stream }) => this.#set(sequence.p)?.prefixScores[stream] ?? 0),
      lengths: Int32Array.from(rows, ({ sequence }) => sequence.length),
      counts: Int32Array.from(rows, ({ ids }) => ids.length),
      adapters: new Int32Array(rows.length),
      ids: Int32Array.from(rows.flatMap(({ ids }) => ids)),
      cosines,
      sines,
      wanted: new Uint8Array(tokens).fill(1),
    }
  }

  async step(work: readonly Work[]): Promise<Result[]> {
    const { hiddenSize: H } = this.config
    const { hidden } = await this.model.run(this.batch(work))
    const results: Result[] = []
    let at = 0
    for (const { sequence, ids } of work) {
      const { p } = sequence
      const n = ids.length
      const streams = new Float32Array(n * p * H)
      for (let t = 0; t < n; t++) {
        for (let stream = 0; stream < p; stream++) {
          const from = (at + stream * n + t) * H
          streams.set(hidden.subarray(from, from + H), (t * p + stream) * H)
        }
      }
      at += p * n
      sequence.length += n
      const aggregator = this.#aggregators.get(p)
      const joined = aggregator
        ? await this.model.aggregate(aggregator, streams)
        : { hidden: streams, weights: new Float32Array(n).fill(1) }
      results.push({ streams, ...joined, logits: await this.model.logits(joined.hidden) })
    }
    return results
  }
}
