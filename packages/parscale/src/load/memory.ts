/** Refuses a model that does not fit into free memory before anything is loaded. */
import { freemem } from 'node:os'
import process from 'node:process'
import { resourceError, usageError } from '@parscale/core/internal'
import { isTied, quantisedBytes } from '@parscale/core/internal/checkpoint'
import { type DecoderKind, type DecoderOptions, rowTokensPerStep, setsOf } from '@parscale/core/internal/generation'
import type { MemoryEstimate, MemoryQuestion } from '@parscale/core/internal/model'
import type { ModelOutline, Outline } from './outline.ts'

export interface MemoryOptions extends DecoderOptions {
  /** Default: the largest there is. */
  readonly p?: number | undefined
  /** Default: 2048, or the whole context. */
  readonly contextTokens?: number | undefined
}

/**
 * Memory for P streams over so many tokens on a kind of decoder.
 *
 * @throws usage error for a P that the model does not have
 */
export function memoryOf(
  { backbone, streamSets }: ModelOutline,
  decoders: Pick<DecoderKind, 'memory'>,
  { p, contextTokens, kv }: MemoryOptions,
): { p: number; contextTokens: number; estimate: MemoryEstimate } {
  const { config } = backbone
  const sets = setsOf(backbone, streamSets).map((set) => set.config)
  const available = [...new Set([1, ...sets.map(({ parscale }) => parscale.n)])].sort((a, b) => a - b)
  const chosen = p ?? available.at(-1)!
  if (!available.includes(chosen))
    throw usageError(`P = ${chosen}: this model has no such stream set; it has P = ${available.join(', ')}`, {
      flag: 'p',
      found: p,
    })
  const context = Math.min(contextTokens ?? 2048, config.maxPositionEmbeddings)
  const question: MemoryQuestion = {
    config,
    tensors: allTensors(backbone),
    tied: isTied(backbone),
    p: chosen,
    contextTokens: context,
    streamSets: sets,
    rowTokens: Math.min(rowTokensPerStep, chosen * context),
    kv,
  }
  return { p: chosen, contextTokens: context, estimate: decoders.memory(question) }
}

/** @throws resource error, with the numbers, for a model that does not fit into free memory */
export function requireMemory(model: ModelOutline, decoders: Pick<DecoderKind, 'memory'>, options: MemoryOptions): void {
  const { p, estimate } = memoryOf(model, decoders, options)
  const { device = 'cpu' } = options
  const availableBytes = availableMemoryBytes()
  if (device !== 'cpu' || estimate.totalBytes <= availableBytes) return
  const quantised = quantisedBytes(allTensors(model.backbone)).size > 0
  throw resourceError(
    `${model.backbone.path} needs ${gigabytes(estimate.totalBytes)} of memory at P = ${p} (weights ${gigabytes(estimate.weightBytes)}, cache ${gigabytes(estimate.cacheBytes)}), ${gigabytes(availableBytes)} are free; close other programs, or use a smaller P, context or model${quantised ? '' : ', or fewer bits: --bits 8 or --bits 4'}`,
    { expected: estimate.totalBytes, found: availableBytes },
  )
}

const allTensors = ({ tensors, otherTensors = new Map() }: Outline): MemoryQuestion['tensors'] =>
  new Map([...tensors, ...otherTensors])

/** What this process may still take; respects container limits where Node knows them. */
export const availableMemoryBytes = (): number => process.availableMemory?.() ?? freemem()

const gigabytes = (bytes: number): string => `${(bytes / 1e9).toFixed(bytes < 1e9 ? 3 : 1)} GB`
