/**
 * Which model for a budget: tries every (size, P, weight format) of a grid, drops what does not fit, and returns the lowest loss
 * and the candidates that no other beats in loss, memory and time at once. The loss comes from outside, as a function, because
 * this room knows nothing of laws.
 */
import { usageError } from '../errors.ts'
import { deviceCost } from './device-cost.ts'
import type { Device } from './devices.ts'
import { countParameters } from './parameters.ts'
import type { WeightFormat } from './quantisation.ts'
import { type ModelShape, publishedModels, qwenShape, requireCount, requirePositive } from './shapes.ts'
import { trainingFlopsPerToken } from './training.ts'

/** What a plan may use: memory in bytes, seconds a token, training FLOPs. */
export interface Budget {
  /** Absent: the device's memory. */
  readonly memoryBytes?: number
  /** Mean time of a decode step. */
  readonly secondsPerToken?: number
  readonly trainingFlops?: number
}

/** What a plan is asked: device, budget, shapes, streams, formats and a loss function. */
export interface PlanRequest {
  readonly device: Device
  readonly budget: Budget
  readonly shapes: readonly ModelShape[]
  readonly streams: readonly number[]
  readonly formats: readonly WeightFormat[]
  readonly batch: number
  readonly inputTokens: number
  /** At least 2, so that there is a decode step to time. */
  readonly outputTokens: number
  readonly kvBits: number
  /** Tokens that each candidate is trained on, P streams throughout; absent: as many as `budget.trainingFlops` pays for. */
  readonly trainingTokens?: number
  readonly trainingSequenceLength: number
  /** Loss at full precision of non-embedding parameters N with P streams, trained on D tokens. */
  readonly loss: (N: number, P: number, D: number) => number
}

/** A size, P and weight format with its loss, memory and time. */
export interface Candidate {
  readonly shape: ModelShape
  /** Non-embedding parameters with these P streams. */
  readonly N: number
  readonly P: number
  readonly format: WeightFormat
  /** With the format's increase. */
  readonly loss: number
  readonly memoryBytes: number
  readonly secondsPerToken: number
  readonly trainingTokens: number
  readonly trainingFlops: number
  readonly binds: 'compute' | 'memory bandwidth'
}

/** The best candidate within a budget, and those that none beats. */
export interface Plan {
  readonly best: Candidate
  /** Best loss first; none of them is beaten in loss, memory and time per token at once. */
  readonly pareto: readonly Candidate[]
  readonly considered: number
  readonly feasible: number
}

/** How a budget's limits are called in messages, in units that people read. */
const limitTexts = {
  memoryBytes: (bytes: number) => `memory ${shortText(bytes / 1e9)} GB`,
  secondsPerToken: (seconds: number) => `time per token ${shortText(1e3 * seconds)} ms`,
  trainingFlops: (flops: number) => `training ${flops.toExponential(2)} FLOPs`,
} as const
const limitKeys = ['memoryBytes', 'secondsPerToken', 'trainingFlops'] as const
const shortText = (value: number) => String(Number(value.toPrecision(3)))

/** Throws a usage error that says what the budget would have to be if nothing fits. */
export function makePlan(request: PlanRequest): Plan {
  if (!(request.outputTokens >= 2))
    throw usageError(`outputTokens must be at least 2 to time a step, got ${request.outputTokens}`, { flag: 'outputTokens' })
  if (request.trainingTokens !== undefined) requirePositive('trainingTokens', request.trainingTokens)
  for (const key of ['shapes', 'streams', 'formats'] as const)
    if (request[key].length === 0) throw usageError(`${key} is empty; a plan needs at least one of them`, { flag: key })
  if (request.trainingTokens === undefined && request.budget.trainingFlops === undefined)
    throw usageError('trainingTokens or budget.trainingFlops must be given', { flag: 'trainingTokens' })
  for (const [flag, limit] of Object.entries(request.budget)) {
    if (limit !== undefined && !(typeof limit === 'number' && limit > 0))
      throw usageError(`${flag} must be greater than 0, got ${limit}`, { flag, found: limit })
  }
  const { memoryBytes = request.device.memoryBytes, secondsPerToken = Infinity, trainingFlops = Infinity } = request.budget
  const limits = { memoryBytes: Math.min(memoryBytes, request.device.memoryBytes), secondsPerToken, trainingFlops }
  const all = request.shapes.flatMap((shape) =>
    request.streams.flatMap((P) => request.formats.map((format) => evaluate(request, shape, P, format))),
  )
  const feasible = all.filter((candidate) => limitKeys.every((key) => candidate[key] <= limits[key]))
  if (feasible.length === 0) throw impossible(request.device, limits, all)
  feasible.sort((a, b) => a.loss - b.loss || a.memoryBytes - b.memoryBytes)
  return { best: feasible[0]!, pareto: paretoFront(feasible), considered: all.length, feasible: feasible.length }
}

/** Shapes of the published family with hidden sizes in steps of 128, intermediate about 5.4 times as wide. */
export function familyShapes(
  smallestHidden = publishedModels[0]!.shape.hiddenSize,
  largestHidden = publishedModels.at(-1)!.shape.hiddenSize,
): ModelShape[] {
  requireCount('smallestHidden', smallestHidden)
  requireCount('largestHidden', largestHidden)
  const shapes: ModelShape[] = []
  for (let hidden = smallestHidden; hidden <= largestHidden; hidden += 128) {
    const published = publishedModels.find(({ shape }) => shape.hiddenSize === hidden)
    shapes.push(published?.shape ?? qwenShape(hidden, Math.round((5.4 * hidden) / 128) * 128))
  }
  return shapes
}

function impossible(device: Device, limits: Required<Budget>, all: readonly Candidate[]) {
  const needs = limitKeys.flatMap((key) => {
    const least = all.reduce((least, candidate) => Math.min(least, candidate[key]), Infinity)
    return least > limits[key]
      ? [`${limitTexts[key](limits[key])}, and the smallest candidate needs ${limitTexts[key](least)}`]
      : []
  })
  const reason = needs.length > 0 ? `it allows ${needs.join('; it allows ')}` : 'each limit can be met, but not all at once'
  return usageError(`no candidate meets the budget on ${device.title}: ${reason}`, { flag: 'budget' })
}

function evaluate(request: PlanRequest, shape: ModelShape, P: number, format: WeightFormat): Candidate {
  const { batch, inputTokens, outputTokens, device, kvBits } = request
  const cost = deviceCost(shape, { P, batch, inputTokens, outputTokens }, device, { weightBits: format.bits, kvBits })
  const N = countParameters(shape, P).nonEmbedding
  const flopsPerToken = trainingFlopsPerToken(shape, P, request.trainingSequenceLength)
  const { trainingFlops = Infinity } = request.budget
  const trainingTokens = request.trainingTokens ?? trainingFlops / flopsPerToken
  const loss = request.loss(N, P, trainingTokens)
  requirePositive('loss', loss)
  return {
    shape,
    N,
    P,
    format,
    loss: loss + format.lossIncrease,
    memoryBytes: cost.memoryBytes,
    secondsPerToken: cost.secondsPerToken!,
    trainingTokens,
    trainingFlops: request.trainingTokens === undefined ? trainingFlops : trainingTokens * flopsPerToken,
    binds: cost.decode.binds,
  }
}

/** @param byLoss sorted by loss, so that only earlier candidates can beat a later one */
function paretoFront(byLoss: readonly Candidate[]): Candidate[] {
  const front: Candidate[] = []
  for (const candidate of byLoss) {
    const beaten = front.some(
      (other) => other.memoryBytes <= candidate.memoryBytes && other.secondsPerToken <= candidate.secondsPerToken,
    )
    if (!beaten) front.push(candidate)
  }
  return front
}
