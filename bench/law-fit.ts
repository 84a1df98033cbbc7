/**
 * Speed of the published fit: 300 starts on 24 points, and 1,000 bootstrap refits, beside scipy's L-BFGS-B on the same starts
 * with forward differences (as the published script runs it) in the same minute.
 *
 *   npm run bench:law      makes a Python environment with scipy first, if there is none
 */
import { spawnSync } from 'node:child_process'
import { cpus } from 'node:os'
import { fileURLToPath } from 'node:url'
import { spreadOf } from '@parscale/core/internal'
import { bootstrap, fitLaw, laws, publishedPoints } from '../packages/core/src/law/index.ts'
import { pythonEnvironment } from '../scripts/python-env.mjs'

const repeats = 5
const points = publishedPoints('stack-v2-python')
const seconds = (work: () => unknown) => {
  const start = performance.now()
  work()
  return (performance.now() - start) / 1e3
}

console.log(`${cpus()[0]?.model ?? 'unknown CPU'}, Node ${process.version}`)
const cold = seconds(() => fitLaw(laws.log, points))
const warm = spreadOf(Array.from({ length: repeats }, () => seconds(() => fitLaw(laws.log, points))))
const fit = fitLaw(laws.log, points)
console.log(
  `300 starts: ${cold.toFixed(3)} s cold, ${warm.median.toFixed(3)} s median of ${repeats} (${warm.min.toFixed(3)} to ${warm.max.toFixed(3)}), objective ${fit.objective}`,
)
console.log(`1,000 bootstrap refits: ${seconds(() => bootstrap(fit, { count: 1000, seed: 0 })).toFixed(2)} s`)

const script = fileURLToPath(new URL('./law-fit-scipy.py', import.meta.url))
const peer = spawnSync(pythonEnvironment('law'), [script], { input: JSON.stringify(points), encoding: 'utf8' })
if (peer.status !== 0) throw new Error(`${script} failed: ${peer.stderr}`)
const theirs = JSON.parse(peer.stdout) as { seconds: number; objective: number; version: string }
const ratio = theirs.seconds / warm.median
console.log(
  `scipy ${theirs.version}, same starts: ${theirs.seconds.toFixed(2)} s, objective ${theirs.objective}: ${ratio.toFixed(1)} times as long as ours`,
)
