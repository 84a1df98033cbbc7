/**
 * What training costs: the paper's two stages (D1 tokens at P = 1, then D2 tokens with P streams) against P streams throughout.
 * A backward pass costs twice a forward pass, nothing is recomputed; logits and aggregation are computed once a token
 * (logits once a stream where probabilities are mixed).
 */
import { usageError } from '../errors.ts'
import type { Device } from './devices.ts'
import { countMatrixWeights, countParameters, outputsPerToken, streamChoices } from './parameters.ts'
import { type ModelShape, requireCount, requirePositive, validateShape } from './shapes.ts'

/** A training as the cost model sees it: streams, tokens of both stages, devices. */
export interface TrainingRun {
  readonly P: number
  /** D1, tokens at P = 1. */
  readonly firstStageTokens: number
  /** D2, tokens with P streams. */
  readonly secondStageTokens: number
  readonly sequenceLength: number
  readonly deviceCount: number
  /** Share of the devices' peak FLOP/s that training reaches; 0.4 is usual for dense models of this size on GPUs. */
  readonly utilisation: number
}

/** What a training costs: FLOPs, and hours on the devices. */
export interface TrainingCost {
  readonly flops: number
  readonly hours: number
}

/** Throws usage errors. `ratio` is single-stage over two-stage FLOPs. */
export function trainingCost(
  shape: ModelShape,
  run: TrainingRun,
  device: Device,
): { twoStage: TrainingCost; singleStage: TrainingCost; ratio: number } {
  requireCount('deviceCount', run.deviceCount)
  requirePositive('device.flopsPerSecond', device.flopsPerSecond)
  if (!(typeof run.utilisation === 'number' && run.utilisation > 0 && run.utilisation <= 1)) {
    throw usageError(`utilisation must be greater than 0 and at most 1, got ${run.utilisation}`, {
      flag: 'utilisation',
      found: run.utilisation,
    })
  }
  for (const flag of ['firstStageTokens', 'secondStageTokens'] as const) {
    if (!(typeof run[flag] === 'number' && run[flag] >= 0 && run[flag] < Infinity))
      throw usageError(`${flag} must be at least 0, got ${run[flag]}`, { flag, found: run[flag] })
  }
  const single = trainingFlopsPerToken(shape, 1, run.sequenceLength)
  const parallel = trainingFlopsPerToken(shape, run.P, run.sequenceLength)
  const cost = (flops: number): TrainingCost => ({
    flops,
    hours: flops / (device.flopsPerSecond * run.utilisation * run.deviceCount) / 3600,
  })
  const twoStage = cost(run.firstStageTokens * single + run.secondStageTokens * parallel)
  const singleStage = cost((run.firstStageTokens + run.secondStageTokens) * parallel)
  return { twoStage, singleStage, ratio: singleStage.flops / twoStage.flops }
}

/** `trainingFlopsPerToken` in the symbols of `symbolLegend` in device-cost.ts. */
export const trainingFormula =
  'FLOPs a token: 3 (P (2 M + 4 L q (K + (sequence + 1) / 2)) + 2 (P h^2 + P h) + 2 V h), K and aggregation only if P > 1; P times 2 V h where probabilities are mixed'

/** 3 x the forward pass of a token in a sequence of `sequenceLength`, attention causal, prefix included. */
export function trainingFlopsPerToken(shape: ModelShape, P: number, sequenceLength: number): number {
  validateShape(shape)
  requireCount('P', P)
  requireCount('sequenceLength', sequenceLength)
  const { hiddenSize: h, numHiddenLayers: L, vocabSize: V } = shape
  const q = shape.numAttentionHeads * shape.headDim
  const { input, aggregation } = streamChoices(shape, P)
  const meanKeys = (input.includes('prefix') ? shape.prefixTokens : 0) + (sequenceLength + 1) / 2
  const layers = P * (2 * countMatrixWeights(shape) + 4 * L * q * meanKeys)
  const adapters = 2 * countParameters(shape, P).adapters
  const joined = P > 1 && aggregation === 'dynamic' ? 2 * (P * h * h + P * h) : 0
  return 3 * (layers + adapters + joined + 2 * outputsPerToken(shape, P) * V * h)
}
