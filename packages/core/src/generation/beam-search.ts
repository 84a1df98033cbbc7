/**
 * Beam search: the most probable continuation among those that `beams` partial ones reach. Beams are sequences of one
 * engine and step together, P rows each, in turns with whatever else the engine does. Deterministic: no sampling, no penalties.
 */
import { usageError } from '../errors.ts'
import { type Engine, rowTokensPerStep } from './engine.ts'
import { logSoftmax } from './log-probabilities.ts'
import type { Sequence } from './sequence.ts'

export interface BeamSearchOptions {
  readonly promptIds: readonly number[]
  /** How many partial continuations are kept; 1 is greedy. */
  readonly beams: number
  readonly maxTokens: number
  readonly stopTokenIds?: readonly number[]
  /** Finished continuations are compared by log-probability / length ** lengthPenalty. Default 1, as in transformers. */
  readonly lengthPenalty?: number
  readonly p?: number
  readonly signal?: AbortSignal
}

/** A continuation that beam search found: token ids and score. */
export interface BeamResult {
  /** Without the stop token. */
  readonly ids: readonly number[]
  /** Sum over all tokens, the stop token included. */
  readonly logProbability: number
  readonly score: number
  readonly finishReason: 'stop' | 'length'
}

interface Candidate {
  readonly beam: number
  readonly id: number
  readonly logProbability: number
}

/** The best continuations found, best first, at most `beams`. */
export async function beamSearch(engine: Engine, options: BeamSearchOptions): Promise<BeamResult[]> {
  const { promptIds, beams, stopTokenIds = [], lengthPenalty = 1 } = options
  const { vocabSize, maxPositionEmbeddings } = engine.model.config
  if (!Number.isInteger(beams) || beams < 1 || beams > vocabSize)
    throw usageError(`beams must be an integer from 1 to ${vocabSize}, got ${beams}`, { flag: 'beams' })
  if (!Number.isInteger(options.maxTokens) || options.maxTokens < 1)
    throw usageError(`maxTokens must be an integer of at least 1, got ${options.maxTokens}`)
  if (promptIds.length > maxPositionEmbeddings)
    throw usageError(
      `the prompt has ${promptIds.length} tokens, the model's context is ${maxPositionEmbeddings}; shorten the prompt`,
    )
  const maxTokens = Math.min(options.maxTokens, maxPositionEmbeddings - promptIds.length + 1)
  const score = (logProbability: number, length: number) => logProbability / length ** lengthPenalty

  const open: Sequence[] = [await engine.turn(() => engine.open({ p: options.p, room: promptIds.length }))]
  const finished: BeamResult[] = []
  const finish = (ids: readonly number[], logProbability: number, length: number, finishReason: BeamResult['finishReason']) => {
    finished.push({ ids, logProbability, score: score(logProbability, length), finishReason })
    finished.sort((a, b) => b.score - a.score)
    finished.length = Math.min(finished.length, beams)
  }
  try {
    const first = await engine.prefill(open[0]!, promptIds, { signal: options.signal })
    let logits = [first.logits]
    let live = [{ ids: [] as number[], logProbability: 0 }]
    for (let length = 1; ; length++) {
      // Twice as many as there are beams: enough remain when up to that many end with a stop token.
      const candidates = best(
        logits.map((row, beam) => ({ row: logSoftmax(row), beam, before: live[beam]!.logProbability })),
        beams * 2,
      )
      const next: Candidate[] = []
      for (const [rank, candidate] of candidates.entries()) {
        if (!stopTokenIds.includes(candidate.id)) next.push(candidate)
        else if (rank < beams) finish(live[candidate.beam]!.ids, candidate.logProbability, length, 'stop')
      }
      next.length = Math.min(next.length, beams)
      const parents = next.map(({ beam }) => open[beam]!)
      live = next.map(({ beam, id, logProbability }) => ({ ids: [...live[beam]!.ids, id], logProbability }))
      if (length === maxTokens) for (const { ids, logProbability } of live) finish(ids, logProbability, length, 'length')
      const worst = finished.length === beams ? finished.at(-1)!.score : -Infinity
      if (length === maxTokens || next.length === 0 || worst >= score(live[0]!.logProbability, length)) return finished

      options.signal?.throwIfAborted()
      logits = await engine.turn(() => {
        if (open.length < next.length) open.push(...engine.fork(open[0]!, next.length - open.length))
        engine.reorder(open.slice(0, next.length), parents)
        return stepBeams(engine, open.slice(0, next.length), live)
      })
    }
  } finally {
    await engine.turn(() => {
      for (const sequence of open) engine.close(sequence)
    })
  }
}

/** One token for every beam, in as many steps as the rows ask for. */
async function stepBeams(
  engine: Engine,
  open: readonly Sequence[],
  live: readonly { readonly ids: readonly number[] }[],
): Promise<Float32Array[]> {
  const logits: Float32Array[] = []
  const perStep = Math.max(1, Math.floor(rowTokensPerStep / open[0]!.p))
  for (let at = 0; at < open.length; at += perStep) {
    const work = open
      .slice(at, at + perStep)
      .map((sequence, i) => ({ sequence, ids: [live[at + i]!.ids.at(-1)!], want: 'last' as const }))
    for (const result of await engine.step(work)) logits.push(result!.logits.slice())
  }
  return logits
}

/** The `count` most probable continuations by one token, best first; between equals the lower beam, then the lower id. */
function best(rows: readonly { row: Float64Array; beam: number; before: number }[], count: number): Candidate[] {
  const top: Candidate[] = []
  for (const { row, beam, before } of rows) {
    for (let id = 0; id < row.length; id++) {
      const logProbability = before + row[id]!
      if (top.length === count && !(logProbability > top.at(-1)!.logProbability)) continue
      let at = top.length
      while (at > 0 && logProbability > top[at - 1]!.logProbability) at--
      top.splice(at, 0, { beam, id, logProbability })
      if (top.length > count) top.pop()
    }
  }
  return top
}
