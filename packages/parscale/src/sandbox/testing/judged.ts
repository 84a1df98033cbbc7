/** Samples judged as `parscale judge` does it; and whether this machine can. */
import { spawnSync } from 'node:child_process'
import process from 'node:process'
import { type JudgedSample, type Problem, parseSample } from '@parscale/core/internal/evaluation'
import { judgeSamples } from '../judge-samples.ts'
import type { Limits } from '../limits.ts'

/** Where bubblewrap is missing, or the system lets it make no namespaces, tests of the sandbox are left out, and say so. */
const tried = spawnSync('bwrap', [
  '--unshare-user',
  '--unshare-pid',
  '--unshare-net',
  '--uid',
  '65534',
  '--ro-bind',
  '/',
  '/',
  'true',
])
export const hasBubblewrap = tried.status === 0
if (!hasBubblewrap) {
  const why = tried.error ? 'there is no bwrap (apt-get install bubblewrap)' : tried.stderr.toString().trim()
  process.stderr.write(`tests of the sandbox are left out: ${why}\n`)
}

export async function judged(
  problems: readonly Problem[],
  samples: readonly { task_id: string; completion?: string; solution?: string }[],
  options: { limits?: Limits; workers?: number } = {},
): Promise<JudgedSample[]> {
  const parsed = samples.map((each, i) => parseSample(JSON.stringify(each), 'samples', i + 1))
  const byId = new Map(problems.map((each) => [each.taskId, each]))
  const results: JudgedSample[] = []
  for await (const each of judgeSamples(byId, parsed, { allowCode: true, ...options })) results.push(each)
  return results
}
