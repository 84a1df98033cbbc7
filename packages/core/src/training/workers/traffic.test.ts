/** What is counted is what a step sends. */
import { describe, expect, it } from 'vitest'
import { onnxRuntime } from '../../node/onnx-runtime.ts'
import { memoryWorkers } from '../../testing/memory-workers.ts'
import { readTrainingModel } from '../../testing/training.ts'
import { initialParameters } from '../start/initial-parameters.ts'
import { ParallelStep } from './parallel-step.ts'
import { layOut } from './pieces.ts'
import { type Sent, stepTraffic, trafficOfWorkers, workerMemory } from './traffic.ts'
import { tags, type Workers } from './workers.ts'

const kinds = ['gradients', 'figures', 'parameters'] as const
type Kind = (typeof kinds)[number]
type Counts = Record<Kind, { messages: number; bytes: number }>

const kindOf = (tag: number): Kind => (tag < tags.lengths ? 'gradients' : tag === tags.figures ? 'figures' : 'parameters')

/** Counts what each worker sends once it is told to. */
function counting(all: readonly Workers[]) {
  const empty = () => Object.fromEntries(kinds.map((kind) => [kind, { messages: 0, bytes: 0 }])) as Counts
  const counts = all.map(() => ({ sent: empty(), received: empty() }))
  let on = false
  const count = (side: Counts, tag: number, bytes: number) => {
    if (!on) return
    side[kindOf(tag)].messages++
    side[kindOf(tag)].bytes += bytes
  }
  const workers = all.map(
    (each, rank): Workers => ({
      rank: each.rank,
      size: each.size,
      send: (to, tag, message) => {
        count(counts[rank]!.sent, tag, message.byteLength)
        return each.send(to, tag, message)
      },
      receive: (from, tag, into) => {
        count(counts[rank]!.received, tag, into.byteLength)
        return each.receive(from, tag, into)
      },
    }),
  )
  const begin = () => {
    on = true
  }
  return { workers, counts, begin }
}

/** A model with several pieces of an embedding, trained for one step. */
async function stepOf(size: number, passes: number) {
  const { config, plan: planOf } = await readTrainingModel('parscale-p2')
  const vocabSize = 9001
  const base = planOf({ sequences: 1, tokens: 4 })
  const trainable = base.trainable.map((p) =>
    p.name === 'model.embed_tokens.weight' ? { ...p, shape: [vocabSize, config.hiddenSize] } : p,
  )
  const plan = { ...base, config: { ...config, vocabSize }, trainable }
  const { workers, counts, begin } = counting(memoryWorkers(size))
  const state = { parameters: initialParameters(trainable, plan.config, { seed: 0, init: 'random' }) }
  const runtime = onnxRuntime({ threads: 1 })
  const steps = await Promise.all(
    workers.map((each) => ParallelStep.create(runtime, plan, each.rank === 0 ? state : undefined, passes, each)),
  )
  begin()
  const batches = Array.from({ length: passes }, (_, i) => ({ ids: [i, 1, 2, 3, 4] }))
  await Promise.all(steps.map((step) => step.run(batches, { learningRate: 0.01, step: 1 })))
  await Promise.all(steps.map((step) => step.dispose()))
  return { layout: layOut(trainable), counts }
}

describe.each([
  [2, 2],
  [2, 7],
  [3, 8],
  [4, 8],
  [7, 7],
])('%i workers and %i passes', (size, passes) => {
  it('send what is counted', async () => {
    const { layout, counts } = await stepOf(size, passes)
    expect(counts.map(({ sent }) => sent)).toEqual(trafficOfWorkers(layout, passes, size))
    const { total, ...flows } = stepTraffic(layout, passes, size)
    const sent = counts.flatMap((each) => kinds.map((kind): Sent => each.sent[kind]))
    expect(total.messages).toBe(sent.reduce((sum, { messages }) => sum + messages, 0))
    expect(total.bytes).toBe(sent.reduce((sum, { bytes }) => sum + bytes, 0))
    for (const kind of kinds) {
      const most = (of: (each: (typeof counts)[number]) => number) => Math.max(...counts.map(of))
      expect(flows[kind].messages, kind).toBe(most((each) => each.sent[kind].messages + each.received[kind].messages))
      expect(flows[kind].bytes, kind).toBe(most((each) => Math.max(each.sent[kind].bytes, each.received[kind].bytes)))
    }
  })
})

const parameter = (name: string, ...shape: number[]) => ({ name, shape, part: 'mlp' }) as const

it('counts how often the link is crossed in a row', () => {
  const hops = (elements: number, count: number, workers: number) =>
    stepTraffic(layOut(Array.from({ length: count }, (_, i) => parameter(`${i}`, elements))), workers, workers).gradients.hops
  expect(hops(1000, 1000, 2)).toBe(1) // below what Open MPI sends unasked
  expect(hops(1 << 17, 256, 2)).toBe(3) // 128 own pieces, all at once
  expect(hops(1 << 17, 258, 2)).toBe(5)
  expect(hops(1 << 17, 512, 512)).toBe(3)
  expect(hops(1 << 17, 5120, 512)).toBe(3 + 2 * 9) // ten own pieces, one at a time
})

it('is nothing for one worker, and memory falls with more', () => {
  const layout = layOut([parameter('a', 64, 1 << 17)])
  const N = 64 * (1 << 17)
  const none = { messages: 0, bytes: 0, hops: 0 }
  expect(stepTraffic(layout, 8, 1)).toEqual({
    gradients: none,
    figures: none,
    parameters: none,
    agreement: none,
    total: { messages: 0, bytes: 0 },
  })
  // Eight passes: that of the pass, and a sum for each of three levels.
  expect(workerMemory(layout, 8, 1)).toEqual({ parameters: 4 * N, gradients: 16 * N, moments: 8 * N, sums: 0, total: 28 * N })
  expect(workerMemory(layout, 8, 8)).toMatchObject({ gradients: 4 * N, moments: N, sums: 8 * 7 * 4 * (1 << 17) })
})
