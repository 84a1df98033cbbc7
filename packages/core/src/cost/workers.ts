/**
 * How long a step of data-parallel training takes with many workers, which cannot be tried on one computer. Each of M passes takes t seconds
 * with standard deviation s t, independently; a worker has m = floor or ceil of M / W of them, and a step begins when all have ended the last:
 *
 *   step     = E[max over workers of the time of their passes] + what of the exchange is not hidden + update / W
 *   exchange = messages o + hops (latency + h) + bytes max(1 / (bandwidth e), b, 2 latency / (W - 1) / w)
 *
 * for gradients, figures, parameters and the agreement about the next step, one after the other (LogGP's terms, doi 10.1145/215399.215427; hops say how often something crosses the
 * link in a row; a connection has w bytes under way at most, and then waits for word of them). The gradients' may hide behind the backward pass
 * of the last pass, two thirds of its time. Messages, bytes and hops are counted from the exchange (training/workers/traffic.ts); o, h, b, e and w
 * are fitted (bench/workers-network.ts).
 */
import { usageError } from '../errors.ts'
import { normalCdf } from '../law/normal.ts'
import { requireCount, requirePositive } from './shapes.ts'

/** Names of what is sent in a step. */
const flowNames = ['gradients', 'figures', 'parameters', 'agreement'] as const

/** As the busiest worker sees it: `Flow` of the training room. */
export interface MessageFlow {
  readonly messages: number
  readonly bytes: number
  readonly hops: number
}

/** Of one way between two workers, whose links do not disturb each other. */
export interface NetworkLink {
  readonly latencySeconds: number
  /** Infinity: nothing limits it. */
  readonly bytesPerSecond: number
}

/** What the messages themselves cost the computer. */
export interface MessageCost {
  /** o: of a message that is sent or received. */
  readonly messageSeconds: number
  /** h: until the other side notices, of each hop. */
  readonly hopSeconds: number
  /** b: of a byte: copied, sent and added. */
  readonly byteSeconds: number
  /** e: share of the link's bandwidth that is reached. */
  readonly bandwidthShare: number
  /** w: under way at once between two workers, as TCP's buffers allow. */
  readonly windowBytes: number
}

/**
 * Of Open MPI 4.1 on two cores of an AMD EPYC, two workers in network namespaces: `npm run bench:workers-network`, docs/training.md.
 */
export const measuredMessageCost: MessageCost = {
  messageSeconds: 67e-6,
  hopSeconds: 1.7e-3,
  byteSeconds: 0.74e-9,
  bandwidthShare: 0.99,
  windowBytes: 3.8e6,
}

/** With 1M parameters; 77 % with 10M (`npm run bench:workers`, docs/training.md). */
export const measuredHiddenShare = 0.49

export interface WorkersRequest {
  readonly workers: number
  /** M, of a step, of all workers together. */
  readonly passes: number
  /** t, forward and backward pass, on one worker. */
  readonly passSeconds: number
  /** s, standard deviation of a pass's time over its mean. */
  readonly passSpread: number
  /** Of all parameters by one worker. */
  readonly updateSeconds: number
  readonly traffic: Readonly<Record<(typeof flowNames)[number], MessageFlow>>
  readonly link: NetworkLink
  readonly cost: MessageCost
  /** Share of the gradients' exchange that goes on behind the last backward pass, if that takes long enough. */
  readonly hiddenShare: number
}

/** What a step's time consists of, in seconds. */
export interface StepParts {
  /** Passes and update, spread evenly. */
  readonly compute: number
  /** Until something has crossed the link, and until a connection may send on. */
  readonly latency: number
  readonly bandwidth: number
  /** Messages and bytes that the computer handles more slowly than the link. */
  readonly overhead: number
  /** The slowest worker's passes beyond the mean. */
  readonly stragglers: number
  /** Passes that do not divide by the workers. */
  readonly 'too few passes': number
}

export type StepBound = keyof StepParts

export interface WorkersStep {
  readonly workers: number
  readonly seconds: number
  readonly parts: StepParts
  /** The largest part. */
  readonly binds: StepBound
  /** Of the exchange, behind the backward pass; in no part. */
  readonly hiddenSeconds: number
  /** Over one worker. */
  readonly speedup: number
  /** Speed-up over workers. */
  readonly efficiency: number
}

/** Share of a pass that is its backward pass (training.ts counts it as twice the forward pass). */
const backwardShare = 2 / 3

/** @throws usage error that names the number that is none */
export function workersStep(request: WorkersRequest): WorkersStep {
  validate(request)
  const { workers: W, passes: M, passSeconds: t, passSpread, updateSeconds, traffic, hiddenShare } = request
  const alone = M * t + updateSeconds
  const most = Math.ceil(M / W)
  // As leavesOf has it: M mod W workers have one more than the others.
  const times = [
    { count: M % W || W, passes: most },
    { count: M % W ? W - (M % W) : 0, passes: most - 1 },
  ].map(({ count, passes }) => ({ count, mean: passes * t, deviation: passSpread * t * Math.sqrt(passes) }))
  const slowest = expectedMaximum(times)
  const waits = exchangeParts(traffic.gradients, request)
  const whole = waits.latency + waits.bandwidth + waits.overhead
  const hiddenSeconds = Math.min(hiddenShare * whole, backwardShare * t)
  const left = whole > 0 ? 1 - hiddenSeconds / whole : 0
  const others = flowNames.filter((name) => name !== 'gradients').map((name) => exchangeParts(traffic[name], request))
  const exchange = (part: keyof ExchangeParts) => others.reduce((sum, each) => sum + each[part], left * waits[part])
  const parts: StepParts = {
    compute: alone / W,
    latency: exchange('latency'),
    bandwidth: exchange('bandwidth'),
    overhead: exchange('overhead'),
    stragglers: slowest - most * t,
    'too few passes': (most - M / W) * t,
  }
  const names = Object.keys(parts) as StepBound[]
  const seconds = names.reduce((sum, name) => sum + parts[name], 0)
  return {
    workers: W,
    seconds,
    parts,
    binds: names.reduce((a, b) => (parts[b] > parts[a] ? b : a)),
    hiddenSeconds,
    speedup: alone / seconds,
    efficiency: alone / seconds / W,
  }
}

export type ExchangeParts = Pick<StepParts, 'latency' | 'bandwidth' | 'overhead'>

/** Seconds of one kind of messages, by what causes them. */
export function exchangeParts(
  { messages, bytes, hops }: MessageFlow,
  { workers, link, cost }: Pick<WorkersRequest, 'workers' | 'link' | 'cost'>,
): ExchangeParts {
  const handling = messages * cost.messageSeconds + hops * cost.hopSeconds
  const crossing = hops * link.latencySeconds
  if (bytes === 0) return { latency: crossing, bandwidth: 0, overhead: handling }
  // Of these three the slowest counts: the computer works on some bytes while the link carries others. What it adds to the link is its part.
  const bandwidth = bytes / (link.bytesPerSecond * cost.bandwidthShare)
  const overhead = Math.max(0, bytes * cost.byteSeconds - bandwidth)
  const windows = ((bytes / (workers - 1)) * 2 * link.latencySeconds) / cost.windowBytes
  return { latency: crossing + Math.max(0, windows - bandwidth - overhead), bandwidth, overhead: handling + overhead }
}

interface Group {
  readonly count: number
  readonly mean: number
  readonly deviation: number
}

/** Steps of the integral, and how far it reaches, in the largest standard deviation: errors are below 1e-5 of it up to a million draws. */
const [integralSteps, reach] = [2000, 9]

/** Of independent normal draws, groups of which have the same mean and deviation: the integral of 1 - product of distribution functions. */
export function expectedMaximum(groups: readonly Group[]): number {
  const drawn = groups.filter(({ count }) => count > 0)
  const deviation = Math.max(...drawn.map((group) => group.deviation))
  const highest = Math.max(...drawn.map(({ mean }) => mean))
  if (deviation === 0 || drawn.reduce((sum, { count }) => sum + count, 0) === 1) return highest
  const [from, step] = [highest - reach * deviation, (2 * reach * deviation) / integralSteps]
  const below = (x: number) =>
    drawn.reduce((product, { count, mean, deviation: own }) => {
      const one = own === 0 ? Number(x >= mean) : normalCdf((x - mean) / own)
      return product * one ** count
    }, 1)
  let sum = 0
  for (let i = 0; i < integralSteps; i++) sum += 1 - below(from + (i + 0.5) * step)
  return from + sum * step
}

function validate({ workers, passes, passSeconds, link, cost, ...rest }: WorkersRequest): void {
  requireCount('workers', workers)
  requireCount('passes', passes)
  requirePositive('passSeconds', passSeconds)
  requireFrom0('latencySeconds', link.latencySeconds)
  if (link.bytesPerSecond !== Infinity) requirePositive('bytesPerSecond', link.bytesPerSecond)
  for (const flag of ['messageSeconds', 'hopSeconds', 'byteSeconds'] as const) requireFrom0(flag, cost[flag])
  for (const flag of ['passSpread', 'updateSeconds'] as const) requireFrom0(flag, rest[flag])
  for (const flag of ['bandwidthShare', 'windowBytes'] as const) requirePositive(flag, cost[flag])
  requireFrom0('hiddenShare', rest.hiddenShare)
  for (const [flag, share] of [
    ['hiddenShare', rest.hiddenShare],
    ['bandwidthShare', cost.bandwidthShare],
  ] as const)
    if (share > 1) throw usageError(`${flag} must be at most 1, got ${share}`, { flag, found: share })
  for (const kind of flowNames)
    for (const key of ['messages', 'bytes', 'hops'] as const) requireFrom0(`traffic.${kind}.${key}`, rest.traffic[kind][key])
}

function requireFrom0(flag: string, value: number): void {
  if (!(typeof value === 'number' && value >= 0 && value < Infinity))
    throw usageError(`${flag} must be a number of at least 0, got ${value}`, { flag, found: value })
}
