/**
 * Fuzzes the parsers, all or one: `npm run fuzz -- --count 1000000 [--parser NAME] [--seed N] [--first INDEX]`.
 * Without --seed it draws one, and says it. An input that fails is saved and printed as base64; Ctrl-C ends it with what was tried.
 */
import { writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { parseArgs } from 'node:util'
import { FuzzFailure, watched } from '../packages/core/src/testing/fuzz/fuzz.ts'
import { fuzz, fuzzTargets } from '../packages/parscale/src/testing/fuzz-targets.ts'

const { values } = parseArgs({
  options: {
    count: { type: 'string', default: '10000' },
    parser: { type: 'string' },
    seed: { type: 'string', default: String(Math.floor(Math.random() * 2 ** 31)) },
    first: { type: 'string', default: '0' },
  },
})
const [count, seed, first] = [Number(values.count), Number(values.seed), Number(values.first)]
const all = await fuzzTargets()
const targets = all.filter(({ name }) => values.parser === undefined || name === values.parser)
if (targets.length === 0 || ![count, seed, first].every((n) => Number.isSafeInteger(n) && n >= 0)) {
  console.error(
    `usage: npm run fuzz -- [--count N] [--seed N] [--first INDEX] [--parser NAME]; parsers: ${all.map(({ name }) => name).join(', ')}`,
  )
  process.exit(2)
}

const interrupt = new AbortController()
process.on('SIGINT', () => {
  if (interrupt.signal.aborted) process.exit(130)
  interrupt.abort()
})
// A promise that nobody awaits: the input may be one before.
process.on('unhandledRejection', (error) => {
  console.error(`${watched()}: a promise that nobody awaits: ${(error as Error).stack ?? error}`)
  process.exit(1)
})
console.log(`seed ${seed}`)
for (const target of targets) {
  const started = performance.now()
  let done = 0
  const onProgress = (inputs: number) => {
    done = inputs
    if (process.stderr.isTTY) process.stderr.write(`\r${target.name}: ${inputs} of ${count}`)
  }
  try {
    const { inputs, accepted } = await fuzz(target, { seed, count, first, signal: interrupt.signal, onProgress })
    const seconds = (performance.now() - started) / 1000
    console.log(`${target.name}: ${inputs} inputs, ${accepted} accepted, ${seconds.toFixed(1)} s`)
  } catch (error) {
    if (interrupt.signal.aborted) {
      console.log(`${target.name}: interrupted after ${done} inputs`)
      process.exit(130)
    }
    if (!(error instanceof FuzzFailure)) throw error
    const file = join(tmpdir(), `parscale-fuzz-${seed}-${target.name.replaceAll(/\W/g, '-')}`)
    writeFileSync(file, error.bytes)
    console.error(`${error.message}\nsaved: ${file}`)
    process.exitCode = 1
  }
}
