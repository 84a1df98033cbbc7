/** Measures one turn of a case. It needs a fresh process, since it reports the process's peak memory as the case's. */
import { Engine, type ModelFiles, modelFiles, type Sequence } from '@parscale/core/internal/generation'
import { type ModelFolder, openModelFolder } from '@parscale/core/internal/node'
import { type EngineOptions, prepareEngine, startModel } from '../load/decode-engine.ts'
import type { Job, Turn } from './job.ts'
import { peakMemoryBytes } from './peak-memory.ts'

/** Steps before the clock counts: the first ones allocate. */
const warmUpSteps = 2

/** @throws as loading a model and stepping it do */
export async function runTurn(job: Job): Promise<Turn> {
  const { engine, cacheDirectory, kv, threads, inMemory } = job
  const started = performance.now()
  return await withFiles(job, async (files) => {
    const model = await startModel(engine, files, { cacheDirectory, kv, threads, inMemory })
    const loadMs = performance.now() - started
    try {
      return { loadMs, ...(await measure(new Engine(model), job)) }
    } finally {
      await model.dispose()
    }
  })
}

/** Makes what turns of this job would make in the cache; their memory and time are not to count. @returns as prepareEngine */
export const prepareTurn = (job: Job, options: Pick<EngineOptions, 'onProgress' | 'signal'>): ReturnType<typeof prepareEngine> =>
  withFiles(job, (files) => prepareEngine(job.engine, files, { cacheDirectory: job.cacheDirectory, ...options }))

async function withFiles<T>({ backbone, streamSet }: Job, use: (files: ModelFiles) => Promise<T>): Promise<T> {
  const open: ModelFolder[] = []
  try {
    for (const path of [backbone, ...(streamSet === undefined ? [] : [streamSet])]) open.push(await openModelFolder(path))
    return await use(await modelFiles(open[0]!, open.slice(1)))
  } finally {
    await Promise.all(open.map((folder) => folder.close()))
  }
}

async function measure(engine: Engine, { p, batch, context, prompt, steps }: Job): Promise<Omit<Turn, 'loadMs'>> {
  const room = Math.max(context, prompt) + warmUpSteps + steps
  // A first pass reads every weight from the file, so that no later one waits for the disk.
  const first = engine.open({ p })
  await engine.prefill(first, someTokens(1, 0))
  engine.close(first)

  const sequences = Array.from({ length: batch }, () => engine.open({ p, room }))
  const prefillStarted = performance.now()
  for (const [request, sequence] of sequences.entries()) await engine.prefill(sequence, someTokens(prompt, request))
  const prefillMs = performance.now() - prefillStarted
  for (const [request, sequence] of sequences.entries()) {
    if (prompt > context) engine.truncate(sequence, context)
    else if (prompt < context) await engine.prefill(sequence, someTokens(context - prompt, batch + request))
  }
  const stepMs = await decode(engine, sequences, steps)
  return { prefillMs, stepMs, peakMemoryBytes: peakMemoryBytes(), cacheBytes: engine.cacheMemoryBytes }
}

/** Greedy decoding of all sequences together. @returns ms of each measured step */
async function decode(engine: Engine, sequences: readonly Sequence[], steps: number): Promise<number[]> {
  let next = sequences.map((_, request) => request)
  const stepMs: number[] = []
  for (let step = -warmUpSteps; step < steps; step++) {
    const started = performance.now()
    const results = await engine.step(sequences.map((sequence, i) => ({ sequence, ids: [next[i]!], want: 'last' as const })))
    next = results.map((result) => bestToken(result!.logits))
    if (step >= 0) stepMs.push(performance.now() - started)
  }
  return stepMs
}

function bestToken(logits: Float32Array): number {
  let best = 0
  for (let id = 1; id < logits.length; id++) if (logits[id]! > logits[best]!) best = id
  return best
}

/** Speed does not depend on which tokens they are; every vocabulary has these. */
const someTokens = (count: number, seed: number): number[] =>
  Array.from({ length: count }, (_, i) => (i * 7919 + seed * 101) % 200)
