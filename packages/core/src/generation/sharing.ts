/** Prompts that begin alike, computed at the same time: one is the source, the others wait for it and go on from a copy. */
import type { Engine } from './engine.ts'
import { commonPrefix, leastShared } from './prefix-cache.ts'
import { type ActiveRequest, firstWanted } from './request.ts'

/** Another one that computes what this one's prompt begins with, so many tokens: this one waits for them. */
export interface Source<T extends ActiveRequest> {
  readonly running: T
  readonly shared: number
}

/** Who runs already and has, or computes before it, most of what this one's prompt begins with. */
export function findSource<T extends ActiveRequest>(
  { request, sequence, ids, p }: ActiveRequest,
  active: readonly T[],
): Source<T> | undefined {
  if (request.cache) return undefined
  const most = firstWanted(request)
  let source: Source<T> | undefined
  for (const running of active) {
    // One that pauses may do so for ever.
    if (running.p !== p || running.request.pause) continue
    const shared = Math.min(commonPrefix(running.ids, ids), most)
    if (shared >= Math.max(source ? source.shared + 1 : 0, sequence.length + leastShared)) source = { running, shared }
  }
  return source
}

/** The source has come far enough, or pauses: else a round would have nothing to step, and what ends the pause no turn. */
export function waitsNoLonger({ paused }: ActiveRequest, { running, shared }: Source<ActiveRequest>): boolean {
  return running.sequence.length >= shared || (running.paused && !paused)
}

/** Goes on from a copy of what the source has computed by now, where that is worth it. Returns the tokens gained. */
export function takeOver(engine: Engine, active: ActiveRequest, { running, shared }: Source<ActiveRequest>): number {
  const length = Math.min(shared, running.sequence.length)
  const more = length - active.sequence.length
  if (more < leastShared) return 0
  const [copy] = engine.fork(running.sequence, 1)
  engine.truncate(copy!, length)
  engine.close(active.sequence)
  active.sequence = copy!
  active.cachedTokens += more
  return more
}
