/**
 * Eight tokens before a model is handed out. GPUs and their drivers do compute wrongly, and quietly: what comes out is held against
 * known tokens, another backend, or the same tokens computed in one pass.
 */
import { backboneDigestKey, quantisationOf } from '../../checkpoint/index.ts'
import { Engine, type Model, type ModelFiles } from '../../generation/index.ts'
import { knownTokens } from './known-tokens.ts'

const tokens = 8
/** To be raised where it is another test, or what it tests computes otherwise: verdicts of before are forgotten. */
export const testVersion = 1

/** What a backend made of a prompt: the tokens, and their logits [8][vocabulary]. */
export interface Sample {
  readonly p: number
  readonly promptIds: readonly number[]
  readonly ids: readonly number[]
  readonly logits: readonly Float32Array[]
}

/** Undefined: as it should be. Else what is wrong, as a clause. */
export type Verdict = string | undefined

/** What is known of a model: its tokens for each P; undefined for all that this project did not make. */
export function knownOf({ config, streamSets }: ModelFiles): (typeof knownTokens)[string] | undefined {
  if (quantisationOf(config.raw)) return undefined
  const digests = streamSets.map((set) => set.config.raw[backboneDigestKey])
  return knownTokens[String(digests.find((digest) => digest !== undefined))]
}

/** Generates greedily at P = 1 and at the model's largest P, side by side. */
export async function sample(model: Model, known: ReturnType<typeof knownOf>): Promise<Sample[]> {
  const promptIds = known?.promptIds ?? usualPrompt(model.config.vocabSize)
  const engine = new Engine(model)
  const samples = [...new Set([1, model.defaultP])].map((p) => ({
    ...{ p, promptIds, ids: [] as number[], logits: [] as Float32Array[] },
    sequence: engine.open({ p, room: promptIds.length + tokens }),
  }))
  try {
    for (let at = 0; at < tokens; at++) {
      const work = samples.map(({ sequence, ids }) => ({
        sequence,
        ids: at === 0 ? promptIds : ids.slice(-1),
        want: 'last' as const,
      }))
      for (const [i, result] of (await engine.step(work)).entries()) {
        samples[i]!.logits.push(result!.logits.slice())
        samples[i]!.ids.push(largest(result!.logits))
      }
    }
  } finally {
    for (const { sequence } of samples) engine.close(sequence)
  }
  return samples.map(({ sequence: _, ...rest }) => rest)
}

/** Ids that any vocabulary has. */
const usualPrompt = (vocabSize: number): number[] => [13, 97, 41, 7, 59].map((id) => id % vocabSize)

export function judgeKnown(samples: readonly Sample[], known: NonNullable<ReturnType<typeof knownOf>>): Verdict {
  for (const { p, ids, logits } of samples) {
    const expected = known.ids[p]
    const verdict = judgeFinite(logits)
    if (verdict !== undefined) return verdict
    if (expected && expected.join() !== ids.join())
      return `at P = ${p} tokens ${ids.join(' ')} came instead of ${expected.join(' ')}`
  }
  return undefined
}

/**
 * Against another backend's sample of the same model: the logits of the first token, and, as both then may go their own way where
 * two tokens are nearly as probable, the tokens as long as they agree.
 */
export function judgeAgainst(samples: readonly Sample[], others: readonly Sample[]): Verdict {
  for (const [i, { p, ids, logits }] of samples.entries()) {
    const verdict = judgeFinite(logits)
    if (verdict !== undefined) return verdict
    const other = others[i]!
    for (const [at, mine] of logits.entries()) {
      const apart = distance(mine, other.logits[at]!)
      if (apart > tolerance) return `at P = ${p} logits lie ${apart.toFixed(3)} of their spread from those of WASM`
      if (ids[at] !== other.ids[at]) break
    }
  }
  return undefined
}

/** Against itself: all tokens in one pass give what they gave one by one, by other kernels. */
export async function judgeAlone(model: Model, samples: readonly Sample[]): Promise<Verdict> {
  const engine = new Engine(model)
  for (const { p, promptIds, ids, logits } of samples) {
    const verdict = judgeFinite(logits)
    if (verdict !== undefined) return verdict
    const sequence = engine.open({ p })
    try {
      const work = { sequence, ids: [...promptIds, ...ids.slice(0, -1)], want: tokens }
      const [result] = await engine.step([work])
      const V = model.config.vocabSize
      for (const [at, mine] of logits.entries()) {
        const apart = distance(mine, result!.logits.subarray(at * V, (at + 1) * V))
        if (apart > tolerance)
          return `at P = ${p} logits one by one lie ${apart.toFixed(3)} of their spread from those in one pass`
      }
    } finally {
      engine.close(sequence)
    }
  }
  return undefined
}

/** Of the spread of the logits. float32 in another order stays below 1e-4; integer kernels that round activations reach 0.02. */
const tolerance = 0.05

/** The largest difference over the distance from the mean to the largest logit. */
function distance(a: Float32Array, b: Float32Array): number {
  let [sum, most, apart] = [0, -Infinity, 0]
  for (let i = 0; i < a.length; i++) {
    sum += b[i]!
    most = Math.max(most, b[i]!)
    apart = Math.max(apart, Math.abs(a[i]! - b[i]!))
  }
  const spread = most - sum / b.length
  return spread > 0 ? apart / spread : apart > 0 ? Infinity : 0
}

function judgeFinite(logits: readonly Float32Array[]): Verdict {
  return logits.every((row) => row.every(Number.isFinite)) ? undefined : 'logits are NaN or infinite'
}

function largest(logits: Float32Array): number {
  let best = 0
  for (let i = 1; i < logits.length; i++) if (logits[i]! > logits[best]!) best = i
  return best
}
