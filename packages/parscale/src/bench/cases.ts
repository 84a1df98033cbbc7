/** The cases of a bench: every combination of its lists, the memory that each case needs, and the order of turns. */
import { resolve } from 'node:path'
import { resourceError } from '@parscale/core/internal'
import { type KvType, kvBytes } from '@parscale/core/internal/model'
import type { EngineName } from '../load/decode-engine.ts'
import { formatAmount } from '../terminal/progress.ts'
import type { BenchModel } from './bench-model.ts'
import type { Job } from './job.ts'

/** What its turns are, but for the files. */
export interface Case extends Omit<Job, 'backbone' | 'streamSet' | 'cacheDirectory'> {
  readonly model: BenchModel
}

export interface CaseLists {
  readonly models: readonly BenchModel[]
  readonly engine: readonly EngineName[]
  readonly threads: readonly (number | undefined)[]
  readonly p: readonly number[]
  readonly kv: readonly KvType[]
  readonly batch: readonly number[]
  readonly context: readonly number[]
  /** undefined: as long as the context. */
  readonly prompt: number | undefined
  readonly steps: number
}

export function crossCases({ models, engine, threads, p, kv, batch, context, prompt, steps }: CaseLists): Case[] {
  const cases: Case[] = []
  for (const oneModel of models)
    for (const oneEngine of engine)
      for (const oneThreads of threads)
        for (const oneKv of kv)
          for (const oneContext of context)
            for (const oneBatch of batch)
              for (const oneP of p)
                cases.push({
                  model: oneModel,
                  engine: oneEngine,
                  threads: oneThreads,
                  p: oneP,
                  kv: oneKv,
                  batch: oneBatch,
                  context: oneContext,
                  prompt: prompt ?? oneContext,
                  steps,
                })
  return cases
}

/** Paths are absolute: the process that measures runs in another folder. */
export function jobOf({ model, ...rest }: Case, cacheDirectory: string): Job {
  const set = model.streamSet(rest.p)
  return {
    ...rest,
    cacheDirectory: resolve(cacheDirectory),
    backbone: resolve(model.backbone),
    streamSet: set === undefined ? undefined : resolve(set),
  }
}

/** What the memory of a case may come to beside weights and cache: Node, the engine, and the buffers of a step. */
const baseBytes = 150e6
/** Measured peaks are held to this (issue of the memory goal): 1.15 x (weights + cache + 150 MB). */
export const allowedBytes = (weightBytes: number, cacheBytes: number): number => 1.15 * (weightBytes + cacheBytes + baseBytes)

/** Keys and values of all rows, prefixes included. */
export function cacheBytes({ model, kv, p, batch, context, prompt, steps }: Case): number {
  const { numHiddenLayers, numKeyValueHeads, headDim, prefixTokens } = model.shape
  const places = (p > 1 ? prefixTokens : 0) + Math.max(context, prompt) + steps
  return p * batch * places * numHiddenLayers * 2 * numKeyValueHeads * kvBytes(kv, headDim)
}

/** @throws resource error, with the numbers, naming the first case that will not fit */
export function requireMemory(cases: readonly Case[], availableBytes: number): void {
  for (const one of cases) {
    const { model, p, batch, context } = one
    const [weights, cache] = [model.weightBytes + model.streamBytes(p), cacheBytes(one)]
    const needed = allowedBytes(weights, cache)
    if (needed <= availableBytes) continue
    throw resourceError(
      `${model.name} in ${model.bits} bits at P = ${p}, batch ${batch}, context ${context} needs ${formatAmount(needed, 'B')} of memory (weights ${formatAmount(weights, 'B')}, cache ${formatAmount(cache, 'B')}), ${formatAmount(availableBytes, 'B')} are free; choose fewer bits, a smaller shape, P, batch or context, or close other programs`,
      { expected: needed, found: availableBytes },
    )
  }
}

/** For people: what tells a case from the others. */
export const caseName = ({ model, engine, threads, p, kv, batch, context }: Case): string =>
  `${model.name}, ${model.bits} bits, P = ${p}, batch ${batch}, context ${context}, ${kv} cache, ${engine}${threads === undefined ? '' : `, ${threads} threads`}`
