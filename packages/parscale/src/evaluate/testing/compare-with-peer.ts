/** Our samples beside lm_eval's: log-likelihoods within a tolerance, everything else equal. */

import type { Sample, TaskResult } from '@parscale/core/internal/evaluation/tasks'
import { expect } from 'vitest'
import type { PeerAnswer, PeerSample } from './peer.ts'

/** In nats, for all tokens of an answer: two implementations that round in their own order. */
export const tolerance = 1e-4

/** How far log-likelihoods are apart at most. */
export function expectEqual(ours: TaskResult, theirs: PeerAnswer): number {
  const key = ({ doc_id, filter }: { doc_id?: unknown; filter?: unknown }) => `${doc_id} ${filter}`
  const byKey = new Map(theirs.samples!.map((sample) => [key(sample), sample]))
  expect(ours.samples).toHaveLength(theirs.samples!.length)
  let farthest = 0
  for (const sample of ours.samples) farthest = Math.max(farthest, expectSample(sample, byKey.get(key(sample))!))
  for (const { metric, filter, value, standardError } of ours.figures) {
    const found = theirs.results![`${metric.name},${filter}`] as number
    // A figure of log-likelihoods is as near as these are.
    expect(Math.abs(value - found) / Math.max(1, Math.abs(found)), metric.name).toBeLessThan(tolerance)
    const error = theirs.results![`${metric.name}_stderr,${filter}`]
    if (error === 'N/A' || error === undefined) expect(standardError).toBeUndefined()
    else expect(Math.abs(standardError! - (error as number)) / Math.max(1, Math.abs(error as number))).toBeLessThan(1e-3)
  }
  return farthest
}

function expectSample(sample: Sample, theirs: PeerSample): number {
  const asked = Object.values(sample.arguments as Record<string, { arg_0: string; arg_1?: unknown }>)
  expect(asked.map(({ arg_0, arg_1 }) => (typeof arg_1 === 'string' ? [arg_0, arg_1] : [arg_0]))).toEqual(
    theirs.arguments.map(([context, continuation]) => (typeof continuation === 'string' ? [context, continuation] : [context])),
  )
  let farthest = 0
  for (const [i, [theirFirst]] of theirs.resps.entries()) {
    const [first] = (sample.resps as unknown[][])[i]!
    if (Array.isArray(theirFirst)) {
      const [value, greedy] = first as [string, string]
      farthest = Math.max(farthest, Math.abs(Number(value) - (theirFirst[0] as number)))
      expect(greedy).toBe(theirFirst[1] ? 'True' : 'False')
    } else if (typeof theirFirst === 'number') farthest = Math.max(farthest, Math.abs(Number(first) - theirFirst))
    else expect(first).toBe(theirFirst)
  }
  expect(farthest).toBeLessThan(tolerance)
  if (typeof theirs.filtered_resps[0] === 'string') expect(sample.filtered_resps).toEqual(theirs.filtered_resps)
  for (const name of sample.metrics as string[]) {
    const found = theirs[name]
    if (typeof found === 'number' && Number.isInteger(found)) expect(sample[name], name).toBe(found)
  }
  return farthest
}
