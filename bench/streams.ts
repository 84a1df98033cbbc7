/**
 * What each kind of stream costs when decoding with the native step: random models of one shape, P streams told apart by prefixes, scales,
 * gains or low ranks, in turns in one run. Printed is each one's time over that of
 * prefixes: of the fastest steps, and in the rounds (median, quartiles), which other work on the machine disturbs more.
 *
 *     npm run bench:streams                              SmolLM2-135M's shape, 8 bits, P = 8
 *     npm run bench:streams -- --bits 32 --p 4 --rounds 9 --context 256
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { cpus, loadavg, tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { spreadOf } from '@parscale/core/internal'
import { Engine, Model, modelFiles } from '@parscale/core/internal/generation'
import type { ParscaleOptions } from '@parscale/core/internal/model'
import { openModelFolder, writeModelFolder } from '@parscale/core/internal/node'
import { nativeDecoder } from '../packages/native/src/native-decoder.ts'
import {
  streamSetContents,
  syntheticConfig,
  type WeightBits,
  writeSyntheticModel,
} from '../packages/parscale/src/bench/synthetic-model.ts'

const { values: flags } = parseArgs({
  options: {
    bits: { type: 'string', default: '8' },
    p: { type: 'string', default: '8' },
    rank: { type: 'string', default: '4,8' },
    rounds: { type: 'string', default: '7' },
    steps: { type: 'string', default: '12' },
    context: { type: 'string', default: '128' },
    threads: { type: 'string', default: '2' },
    layers: { type: 'string', default: '30' },
  },
})
const number = (text: string) => Number.parseInt(text, 10)
const [p, rounds, steps, context, threads] = [flags.p, flags.rounds, flags.steps, flags.context, flags.threads].map(number) as [
  number,
  number,
  number,
  number,
  number,
]
const bits: WeightBits = flags.bits === '4' ? 4 : flags.bits === '32' ? 32 : 8

const shape = {
  ...{ vocabSize: 49152, hiddenSize: 576, intermediateSize: 1536, numHiddenLayers: number(flags.layers) },
  ...{ numAttentionHeads: 9, numKeyValueHeads: 3, headDim: 64, attentionBias: { qkv: true, o: false }, mlpBias: false },
  ...{ qkNorm: false as const, tiedEmbeddings: true, prefixTokens: 48 },
}
const kinds: readonly (readonly [name: string, choices: ParscaleOptions])[] = [
  ['prefix', { n: p, nTokens: shape.prefixTokens }],
  ['scales', { n: p, input: 'scales' }],
  ['norms,bitfit', { n: p, input: ['norms', 'bitfit'] }],
  ...flags.rank.split(',').map((rank) => [`lora ${rank}`, { n: p, input: 'lora', loraRank: number(rank) }] as const),
]

const folder = mkdtempSync(join(tmpdir(), 'parscale-bench-'))
try {
  await writeSyntheticModel(join(folder, 'model'), { shape, bits, streams: [] }, {})
  const backbone = await openModelFolder(join(folder, 'model'))
  const engines = new Map<string, Engine>()
  for (const [name, choices] of kinds) {
    const at = join(folder, name)
    await writeModelFolder(at, streamSetContents(syntheticConfig(shape), choices, bits))
    const files = await modelFiles(backbone, [await openModelFolder(at)])
    engines.set(
      name,
      new Engine(new Model(files, await nativeDecoder(files, { threads, cacheDirectory: join(folder, 'cache') }))),
    )
  }
  const ids = Array.from({ length: context }, (_, i) => (i * 7919) % 40_000)
  const medians = new Map<string, number[]>(kinds.map(([name]) => [name, []]))
  for (let round = 0; round < rounds; round++) {
    for (const [name, engine] of engines) {
      const sequence = engine.open({ p })
      await engine.prefill(sequence, ids)
      const times: number[] = []
      for (let step = 0; step < steps; step++) {
        const started = performance.now()
        await engine.step([{ sequence, ids: [(step * 31) % 40_000], want: 'last' }])
        times.push(performance.now() - started)
      }
      engine.close(sequence)
      medians.get(name)!.push(spreadOf(times).lowerQuartile)
    }
  }
  const load = loadavg()[0]!.toFixed(1)
  console.log(
    `${cpus()[0]!.model}, ${threads} threads, load ${load}; ${bits} bits, P = ${p}, ${context} tokens, ${rounds} rounds`,
  )
  const prefix = medians.get('prefix')!
  for (const [name, times] of medians) {
    const ratio = spreadOf(times.map((time, i) => time / prefix[i]!))
    const [fastest, fastestPrefix] = [Math.min(...times), Math.min(...prefix)]
    console.log(
      `${name.padEnd(14)} ${fastest.toFixed(1)} ms a token at best, ${(fastest / fastestPrefix).toFixed(2)}x of prefixes; in rounds ${ratio.median.toFixed(2)}x (${ratio.lowerQuartile.toFixed(2)} to ${ratio.upperQuartile.toFixed(2)})`,
    )
  }
  for (const engine of engines.values()) await engine.dispose()
} finally {
  rmSync(folder, { recursive: true })
}
