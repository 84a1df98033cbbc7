/**
 * What a draw takes: processor time for one row of 151,936 logits (normal, of deviation 3), by options.
 *
 *     npm run bench:draws
 */
import process from 'node:process'
import { createRandom } from '@parscale/core/internal'
import { createSampler, type SamplingOptions } from '../packages/core/src/generation/sampling.ts'

const [vocabulary, rows, rounds] = [151_936, 8, 80]
const random = createRandom(1)
const logits = Array.from({ length: rows }, () => Float32Array.from({ length: vocabulary }, () => 3 * random.normal()))

const cases: Record<string, SamplingOptions> = {
  'the most probable token': { temperature: 0 },
  'temperature 1': { temperature: 1 },
  'temperature 1, top_p 0.95': { temperature: 1, topP: 0.95 },
  'temperature 0.7, top_k 40': { temperature: 0.7, topK: 40 },
  'temperature 0.8, top_k 40, top_p 0.95, min_p 0.05': { temperature: 0.8, topK: 40, topP: 0.95, minP: 0.05 },
}

for (const [name, options] of Object.entries(cases)) {
  const samplers = logits.map((_, seed) => createSampler({ ...options, seed }, []))
  const times = Array.from({ length: rounds }, () => {
    const before = process.cpuUsage()
    for (const [i, sampler] of samplers.entries()) sampler.sample(logits[i]!)
    return process.cpuUsage(before).user / 1000 / rows
  })
  const median = times.slice(rounds / 4).sort((a, b) => a - b)[Math.floor((rounds * 3) / 8)]!
  console.log(`${median.toFixed(2)} ms  ${name}`)
}
