/** From turns to figures: medians over rounds, beside what this machine allows at best. */
import { type Spread, spreadOf } from '@parscale/core/internal'
import { type Device, deviceCost, type Phase, type Precision } from '@parscale/core/internal/cost'
import { type KvType, kvBytes } from '@parscale/core/internal/model'
import type { EngineName } from '../load/decode-engine.ts'
import { allowedBytes, type Case } from './cases.ts'
import type { Turn } from './job.ts'

export interface Row {
  readonly model: string
  readonly bits: number
  readonly engine: EngineName
  readonly threads: number | null
  readonly p: number
  readonly kv: KvType
  readonly batch: number
  readonly context: number
  readonly prompt: number
  /** Median time of a step over all rounds: one token of each request. */
  readonly msPerToken: number
  readonly msPerTokenSpread: Spread
  /** Of all requests together. */
  readonly tokensPerSecond: number
  /** Prompt tokens of all requests, without prefixes. */
  readonly prefillTokensPerSecond: number
  readonly prefillMsSpread: Spread
  readonly loadMs: number
  /** Median of the rounds' peaks. */
  readonly peakMemoryBytes: number
  readonly weightBytes: number
  readonly cacheBytes: number
  /** 1.15 x (weights + cache + 150 MB). */
  readonly allowedMemoryBytes: number
  /** What a machine of `parscale cost --device this-machine` needs for weights, cache and products: no engine is faster. All three are null where the machine was not measured. */
  readonly limit: {
    readonly msPerToken: number
    readonly prefillTokensPerSecond: number
    readonly binds: 'compute' | 'memory bandwidth'
  } | null
  /** Limit over measured: 1 is as fast as the machine allows. */
  readonly limitShare: { readonly decode: number; readonly prefill: number } | null
  /** Bytes that a step must read, over its time, as a share of the machine's read bandwidth. */
  readonly bandwidthShare: number | null
}

export function rowOf(one: Case, turns: readonly Turn[], device: Device | undefined): Row {
  const { model, engine, threads, p, kv, batch, context, prompt } = one
  const step = spreadOf(turns.flatMap(({ stepMs }) => stepMs))
  const prefill = spreadOf(turns.map(({ prefillMs }) => prefillMs))
  const weightBytes = model.weightBytes + model.streamBytes(p)
  const cacheBytes = Math.max(...turns.map((turn) => turn.cacheBytes))
  return {
    model: model.name,
    bits: model.bits,
    engine,
    threads: threads ?? null,
    p,
    kv,
    batch,
    context,
    prompt,
    msPerToken: step.median,
    msPerTokenSpread: step,
    tokensPerSecond: (batch * 1000) / step.median,
    prefillTokensPerSecond: (batch * prompt * 1000) / prefill.median,
    prefillMsSpread: prefill,
    loadMs: spreadOf(turns.map(({ loadMs }) => loadMs)).median,
    peakMemoryBytes: spreadOf(turns.map(({ peakMemoryBytes }) => peakMemoryBytes)).median,
    weightBytes,
    cacheBytes,
    allowedMemoryBytes: allowedBytes(weightBytes, cacheBytes),
    ...(device ? limitsOf(one, device, step.median, prefill.median) : { limit: null, limitShare: null, bandwidthShare: null }),
  }
}

function limitsOf(
  { model, p, kv, batch, context, prompt, steps }: Case,
  device: Device,
  stepMs: number,
  prefillMs: number,
): Pick<Row, 'limit' | 'limitShare' | 'bandwidthShare'> {
  const precision: Precision = {
    weightBits: model.weightBits,
    kvBits: (8 * kvBytes(kv, model.shape.headDim)) / model.shape.headDim,
  }
  const cost = (inputTokens: number, outputTokens: number) =>
    deviceCost(model.shape, { P: p, batch, inputTokens, outputTokens }, device, precision)
  const { decode } = cost(context, steps + 1)
  const { prefill } = cost(prompt, 1)
  const limitMs = (leastSeconds(decode, steps, device) / steps) * 1000
  // Of the prompt's tokens but the last, the last layer owes nothing but keys and values.
  const layers = model.shape.numHiddenLayers
  const prefillSeconds = leastSeconds({ ...prefill, computeSeconds: (prefill.computeSeconds * (layers - 1)) / layers }, 1, device)
  const stepBytes = bytesRead(decode) / steps
  return {
    limit: {
      msPerToken: limitMs,
      prefillTokensPerSecond: (batch * prompt) / prefillSeconds,
      binds: decode.computeSeconds > bytesRead(decode) / readRate(device, stepBytes) ? 'compute' : 'memory bandwidth',
    },
    limitShare: { decode: limitMs / stepMs, prefill: (prefillSeconds * 1000) / prefillMs },
    bandwidthShare: stepBytes / (stepMs / 1000) / readRate(device, stepBytes),
  }
}

/** Weights and cache: activations need not leave the caches of a CPU. */
const bytesRead = ({ bytes }: Phase): number =>
  bytes.reduce((sum, { name, value }) => (name === 'activations' ? sum : sum + value), 0)

/** Of a phase of so many passes over the weights: reading and multiplying overlap at best. */
const leastSeconds = (phase: Phase, passes: number, device: Device): number =>
  Math.max(phase.computeSeconds, bytesRead(phase) / readRate(device, bytesRead(phase) / passes))

/** Bytes a second at best where so many are read again and again: the last cache may keep a part as large as it is from one time to the next. */
export function readRate({ bytesPerSecond, cacheBytes, cacheBytesPerSecond }: Device, bytes: number): number {
  if (cacheBytes === undefined || cacheBytesPerSecond === undefined) return bytesPerSecond
  const kept = Math.min(bytes, cacheBytes)
  return bytes / (kept / cacheBytesPerSecond + (bytes - kept) / bytesPerSecond)
}

/** How much longer a step with P streams takes than one of the same case with the smallest P. */
export interface StreamRatio extends Pick<Row, 'model' | 'bits' | 'engine' | 'threads' | 'kv' | 'batch' | 'context' | 'p'> {
  readonly against: number
  /** Of the rounds' medians. */
  readonly ratio: number
  readonly low: number
  readonly high: number
}

/** @param turns of each case, in the order of the cases */
export function streamRatios(cases: readonly Case[], turns: readonly (readonly Turn[])[]): StreamRatio[] {
  const medians = turns.map((list) => list.map(({ stepMs }) => spreadOf(stepMs).median))
  return cases.flatMap((one, i): StreamRatio[] => {
    const rest = (other: Case) =>
      JSON.stringify([other.model.name, other.model.bits, other.engine, other.threads, other.kv, other.batch, other.context])
    const same = cases.map((other, j) => ({ p: other.p, j, rest: rest(other) })).filter((other) => other.rest === rest(one))
    const base = same.reduce((least, other) => (other.p < least.p ? other : least))
    if (base.p === one.p) return []
    const ratios = spreadOf(medians[i]!.map((ms, round) => ms / medians[base.j]![round]!))
    const { model, engine, threads, kv, batch, context, p } = one
    return [
      {
        model: model.name,
        bits: model.bits,
        engine,
        threads: threads ?? null,
        kv,
        batch,
        context,
        p,
        against: base.p,
        ratio: ratios.median,
        low: ratios.min,
        high: ratios.max,
      },
    ]
  })
}
