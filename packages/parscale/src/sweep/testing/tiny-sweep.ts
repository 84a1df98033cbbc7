/** A sweep of very small runs: 6 steps of a model of 4,000 parameters. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'

const topics = ['whales', 'treaties', 'harpoons', 'commerce', 'the sea', 'the union', 'peace', 'storms']
const documents = Array.from(
  { length: 60 },
  (_, i) =>
    `Chapter ${i}. Of ${topics[i % 8]}. ${`They spoke of ${topics[(i * 3) % 8]} and ${topics[(i * 5) % 8]}. `.repeat(3 + (i % 4))}`,
)

/** Keys of the base, in YAML's flow style. */
export const tinyBase = (data: string): Readonly<Record<string, unknown>> => ({
  ...{ data: [data], separator: '\n\n', 'held-out': 0.2, steps: 6, 'learning-rate': 0.01 },
  ...{ 'hidden-size': 16, intermediateSize: 24, layers: 2, heads: 2, 'kv-heads': 1, 'head-dim': 8, 'vocab-size': 300 },
  ...{ 'batch-size': 2, 'sequence-length': 32, streams: { prefixTokens: 4 }, 'sample.tokens': 0 },
  ...{ evaluation: { every: 0, diagnoseTokens: 0 }, 'checkpoint-every': 2 },
})

/** Writes data and file of a sweep; returns the file's path. JSON is YAML. */
export function writeSweep(
  scratch: string,
  name: string,
  sweep: { readonly base?: object } & Readonly<Record<string, unknown>>,
): string {
  const data = join(scratch, 'text.txt')
  writeFileSync(data, documents.join('\n\n'))
  const file = join(scratch, name)
  writeFileSync(file, JSON.stringify({ recipe: 'pretrain', ...sweep, base: { ...tinyBase(data), ...sweep.base } }))
  return file
}
