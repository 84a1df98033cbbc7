/**
 * What the training aids (aids.ts) draw by chance, as inputs of the gradient graph. Each pass's follows from the run's seed and
 * the pass's number alone, so a run that goes on draws what it would have drawn.
 */
import { Tensor } from 'onnxruntime-common'
import { usageError } from '../../errors.ts'
import { branches, elementCount } from '../../model/index.ts'
import { createRandom, type Random } from '../../random.ts'
import { domainStreamsName, dropoutName, firstStreamsName, keptStreamsName, leftOut } from './aids.ts'
import type { Place, Tensors } from './buffers.ts'
import { dropoutMasks } from './dropout-masks.ts'
import type { LossPlan } from './loss.ts'
import type { TokenBatch } from './loss-feeds.ts'

interface Noise extends Place {
  readonly fill: (values: Float32Array, random: Random, batch: TokenBatch) => void
}

function noises({ config, shape, aids = {}, domains }: LossPlan): Noise[] {
  const { dropout = 0, dropStreams = 0, nestStreams = 0, domainStreams = 0 } = aids
  const P = config.parscale.n
  const rows = shape.sequences * P * shape.tokens
  const found: Noise[] = []
  if (dropStreams > 0 && P > 1) {
    const fill = (kept: Float32Array, random: Random) => drawKept(kept, P, dropStreams, random)
    found.push({ name: keptStreamsName, shape: [shape.sequences, P], fill })
  }
  if (nestStreams > 0 && P > 1) {
    const fill = (kept: Float32Array, random: Random) => drawFirst(kept, P, nestStreams, random)
    found.push({ name: firstStreamsName, shape: [shape.sequences, P], fill })
  }
  if (domainStreams > 0 && P > 1) {
    const fill = (kept: Float32Array, random: Random, { documents }: TokenBatch) =>
      drawDomains(kept, { streams: P, tokens: shape.tokens }, domainStreams, random, (at) => domains![documents![at]!])
    found.push({ name: domainStreamsName, shape: [shape.sequences * shape.tokens, P], fill })
  }
  if (dropout > 0) {
    const fill = dropoutMasks(dropout)
    for (let layer = 0; layer < config.numHiddenLayers; layer++) {
      for (const branch of branches) found.push({ name: dropoutName(layer, branch), shape: [rows, config.hiddenSize], fill })
    }
  }
  return found
}

/** Which of the P streams each sequence keeps: 1 or next to 0. Where all would be left out, all stay. */
function drawKept(kept: Float32Array, P: number, rate: number, random: Random): void {
  for (let i = 0; i < kept.length; i++) kept[i] = random.uniform() < rate ? leftOut : 1
  for (let from = 0; from < kept.length; from += P) {
    const row = kept.subarray(from, from + P)
    if (!row.includes(1)) row.fill(1)
  }
}

/** Which of the P streams each sequence has: with probability `rate` the first 1, 2, 4, ... below P, each number as likely, else all. */
function drawFirst(kept: Float32Array, P: number, rate: number, random: Random): void {
  const numbers = Math.ceil(Math.log2(P))
  kept.fill(1)
  for (let from = 0; from < kept.length; from += P) {
    if (random.uniform() < rate) kept.fill(leftOut, from + 2 ** random.below(numbers), from + P)
  }
}

/**
 * Which of the P streams each token of B sequences of T tokens has: in a sequence that is drawn, that of its document's domain, else all.
 *
 * @param domainOf of a token by its place among B * (T + 1); undefined for padding
 */
function drawDomains(
  kept: Float32Array,
  { streams: P, tokens: T }: { readonly streams: number; readonly tokens: number },
  rate: number,
  random: Random,
  domainOf: (place: number) => number | undefined,
): void {
  kept.fill(1)
  for (let row = 0; row < kept.length / P; row += T) {
    if (random.uniform() >= rate) continue
    for (let t = 0; t < T; t++) {
      const domain = domainOf(row + row / T + t)
      if (domain === undefined) continue
      kept.fill(leftOut, (row + t) * P, (row + t + 1) * P)
      kept[(row + t) * P + domain] = 1
    }
  }
}

/** Bytes of what is drawn. */
export const noiseBytes = (plan: LossPlan): number =>
  noises(plan).reduce((sum, { shape }) => sum + Float32Array.BYTES_PER_ELEMENT * elementCount(shape), 0)

/**
 * The feeds of one pass, by its number in the run, from 0. They lie in memory that the next pass's take over.
 *
 * @param seed the run's
 */
export function passNoise(plan: LossPlan, seed: number): (pass: number, batch: TokenBatch) => Tensors {
  const drawn = noises(plan)
  if (drawn.length === 0) return () => ({})
  if (plan.domains === undefined && drawn.some(({ name }) => name === domainStreamsName)) {
    throw usageError('domainStreams: the plan needs `domains`, which say the stream of each document')
  }
  const tensors = Object.fromEntries(
    drawn.map(({ name, shape }) => [name, new Tensor('float32', new Float32Array(elementCount(shape)), shape)]),
  )
  // 53 bits: of them 32 the pass's. SplitMix64, which seeds the generator, puts neighbours far apart.
  const run = createRandom(seed).below(2 ** 20) * 2 ** 32
  return (pass, batch) => {
    const random = createRandom(run + (pass % 2 ** 32))
    for (const { name, fill } of drawn) fill(tensors[name]!.data as Float32Array, random, batch)
    return tensors
  }
}
