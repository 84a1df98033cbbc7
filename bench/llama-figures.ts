/**
 * Speed of llama.cpp alone on a GGUF file:
 *
 *     npx tsx bench/llama-figures.ts MODEL.gguf [--threads 2] [--sequences 1,8] [--context 128] [--prompt 512]
 *
 * Prints one JSON object per line: the machine, then a figure each. Times are milliseconds.
 */
import { availableParallelism, cpus, loadavg } from 'node:os'
import { parseArgs } from 'node:util'
import { loadPeer } from './llama-peer.ts'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    threads: { type: 'string', default: '2' },
    sequences: { type: 'string', default: '1,8' },
    context: { type: 'string', default: '128' },
    prompt: { type: 'string', default: '512' },
  },
})
const [model] = positionals
if (model === undefined) throw new Error('name a GGUF file: npx tsx bench/llama-figures.ts MODEL.gguf')

const peer = await loadPeer(model, { threads: Number(values.threads) })
print({
  model,
  cpu: cpus()[0]?.model,
  cores: availableParallelism(),
  load: loadavg()[0],
  version: peer.version,
  threads: peer.threads,
})
for (const sequences of values.sequences.split(',').map(Number)) {
  print(await peer.decodeBench({ sequences, contextTokens: Number(values.context), steps: 64 }))
}
print(await peer.prefillBench({ tokens: Number(values.prompt), repeats: 5 }))
await peer.dispose()

function print(record: object) {
  console.log(JSON.stringify(record, (_, value) => (typeof value === 'number' ? Number(value.toFixed(2)) : value)))
}
