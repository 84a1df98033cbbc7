/** Real `parscale train` runs of a very small model, in a scratch folder of the test file that imports this. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { readCheckpoint } from '@parscale/core/internal/node'
import { afterAll, beforeAll, expect } from 'vitest'
import { runHere } from './run-here.ts'

let scratch: string
export const at = (...names: string[]) => join(scratch, ...names)

export const topics = ['whales', 'treaties', 'harpoons', 'commerce', 'the sea', 'the union', 'peace', 'storms']
export const documents = Array.from(
  { length: 60 },
  (_, i) =>
    `Chapter ${i}. Of ${topics[i % 8]}. ${`They spoke of ${topics[(i * 3) % 8]} and ${topics[(i * 5) % 8]}. `.repeat(3 + (i % 4))}`,
)
/** Of one stream. */
export const tinyPlain = [
  ...['--hidden-size', '16', '--intermediate-size', '24', '--layers', '2', '--heads', '2', '--kv-heads', '1', '--head-dim', '8'],
  ...['--vocab-size', '300', '--batch-size', '2', '--sequence-length', '32', '--learning-rate', '1e-2'],
  ...['--held-out', '0.2', '--separator', '\n\n', '--threads', '1', '--set', 'sample.tokens=4'],
]
export const tiny = [...tinyPlain, '--prefix-tokens', '4', '--set', 'evaluation.diagnoseTokens=32']
export const quick = ['--evaluate-every', '0', '--checkpoint-every', '0']

export const here = (...args: string[]) => runHere(args, { PARSCALE_CACHE: at('cache') })
export const train = (...args: string[]) => here('train', ...args)

export async function succeed(...args: string[]) {
  const result = await train(...args)
  expect(result.code, result.stderr).toBe(0)
  return result
}

interface Line {
  readonly kind: string
  readonly step: number
  readonly p: number
  readonly loss: number
  readonly learningRate: number
  readonly tokens: number
}
export const metrics = (run: string): Line[] =>
  readFileSync(at(run, 'metrics.jsonl'), 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line))
export const steps = (run: string) => metrics(run).filter(({ kind }) => kind === 'train')
export const evaluations = (run: string) => metrics(run).filter(({ kind }) => kind === 'evaluation')
export const model = (run: string, folder = 'model') => readFileSync(at(run, folder, 'model.safetensors'))
export const heldOutLoss = (run: string): number => JSON.parse(readFileSync(at(run, 'evaluation.json'), 'utf8')).loss

/** Values of a checkpoint by name. */
export async function checkpointTensors(run: string, step: number): Promise<ReadonlyMap<string, Float32Array>> {
  return (await readCheckpoint(at(run, 'checkpoints', `step-${String(step).padStart(8, '0')}`))).parameters
}

beforeAll(() => {
  scratch = mkdtempSync(join(tmpdir(), 'parscale-train-'))
  writeFileSync(at('text.txt'), documents.join('\n\n'))
})
afterAll(() => rmSync(scratch, { recursive: true }))
