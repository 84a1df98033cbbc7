/**
 * Questions a second on a task like HellaSwag (a text of some 60 words, four endings of some 20), ours beside lm_eval with transformers:
 * SmolLM2's weights as floats in both, and as stored (4 bits) in ours. In turns, best of each. Beside it the processor time of a question, which
 * says the same on a machine that does other things as well.
 *
 *     npm run bench:evaluate -- --items 32 --rounds 2      needs the Python environment `evaluation`, several gigabytes
 */
import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { availableParallelism, cpus, loadavg } from 'node:os'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { randomFrom } from '../packages/core/src/testing/small-random.ts'
import { evaluateHere } from '../packages/parscale/src/evaluate/testing/evaluate-here.ts'
import { askPeer } from '../packages/parscale/src/evaluate/testing/peer.ts'
import { loadTextModel } from '../packages/parscale/src/load/load.ts'
import { fetchSmolLM2 } from '../scripts/fetch-smollm2.mjs'

const { values } = parseArgs({
  options: {
    items: { type: 'string', default: '32' },
    rounds: { type: 'string', default: '2' },
    shots: { type: 'string', default: '0' },
  },
})
const [items, rounds, shots] = [Number(values.items), Number(values.rounds), Number(values.shots)]

const words =
  `time year people way day man thing woman life child world school state family student group country problem hand part place
case week company system program question work government number night point home water room mother area money story fact month lot right
study book eye job word business issue side kind head house service friend father power hour game line end member law car city community`.split(
    /\s+/,
  )

const random = randomFrom(19)
const text = (count: number) => Array.from({ length: count }, () => random.pick(words)).join(' ')
const docs = Array.from({ length: items }, () => ({
  activity_label: text(2),
  ctx_a: `${text(40 + random.below(30))}.`,
  ctx_b: text(5),
  endings: Array.from({ length: 4 }, () => `${text(12 + random.below(16))}.`),
  label: String(random.below(4)),
}))

const run = { task: 'hellaswag', docs: { train: docs, validation: docs }, num_fewshot: shots }
const floats = fileURLToPath(new URL('../.cache/smollm2-f32', import.meta.url))
const figures = new Map<string, { rate: number; cpu: number }[]>()
/** @param seconds by the clock @param cpuSeconds of all threads */
const note = (name: string, seconds: number, cpuSeconds: number) => {
  const figure = { rate: items / seconds, cpu: cpuSeconds / items }
  figures.set(name, [...(figures.get(name) ?? []), figure])
  process.stderr.write(`${name}: ${figure.rate.toFixed(2)} a second, ${figure.cpu.toFixed(3)} s of processor time each\n`)
}

async function ours(name: string, path: string): Promise<void> {
  const model = await loadTextModel(path)
  try {
    const [started, before] = [performance.now(), process.cpuUsage()]
    await evaluateHere(run, model)
    const { user, system } = process.cpuUsage(before)
    note(name, (performance.now() - started) / 1000, (user + system) / 1e6)
  } finally {
    await model.dispose()
  }
}

const stored = await fetchSmolLM2()
if (!existsSync(`${floats}/config.json`)) execFileSync('npx', ['parscale', 'convert', stored, floats], { stdio: 'inherit' })
for (let round = 0; round < rounds; round++) {
  await ours('parscale, float32', floats)
  await ours('parscale, as stored (Q4_1)', stored)
  const [peer] = await askPeer([{ ...run, model: floats, batch_size: 16 }])
  note('lm_eval 0.4.13, transformers 5.23.0, float32, batches of 16', peer!.seconds!, peer!.cpu_seconds!)
}
const best = [...figures].map(([name, all]) => ({
  name,
  rate: Math.max(...all.map(({ rate }) => rate)),
  cpu: Math.min(...all.map(({ cpu }) => cpu)),
}))
const peer = best.at(-1)!
process.stdout.write(
  `${cpus()[0]!.model}, ${availableParallelism()} CPUs, load ${loadavg()[0]!.toFixed(1)}; ${items} questions, ${shots} examples\n`,
)
for (const { name, rate, cpu } of best)
  process.stdout.write(
    `${rate.toFixed(2).padStart(8)} a second (${(rate / peer.rate).toFixed(2)}x)  ${cpu.toFixed(3).padStart(8)} s of processor time each (${(peer.cpu / cpu).toFixed(2)}x less)  ${name}\n`,
  )
