/**
 * Scoring many short texts: one after the other, and together through the scheduler, in turns in one run, on the shipped model.
 * Shows the best round of each.
 *
 *     npm run bench:score-texts
 *     npm run bench:score-texts -- --texts 200 --tokens 20 --p 1 --engine native
 */
import { cpus, loadavg } from 'node:os'
import { parseArgs } from 'node:util'
import { spreadOf } from '@parscale/core/internal'
import { scoreIds, scoreTexts } from '@parscale/core/internal/evaluation'
import { Engine } from '@parscale/core/internal/generation'
import { createTokenizer, tokenizerFiles } from '@parscale/core/internal/tokenizer'
import { loadModel } from '../packages/parscale/src/load/load.ts'
import { readDocument } from '../test/support/markdown.ts'

const { values: flags } = parseArgs({
  options: {
    texts: { type: 'string', default: '64' },
    /** Of each text. */
    tokens: { type: 'string', default: '16' },
    p: { type: 'string', default: '1,2,8' },
    engine: { type: 'string', default: 'native,onnx' },
    rounds: { type: 'string', default: '10' },
    threads: { type: 'string', default: '2' },
  },
})
const [count, tokens, rounds, threads] = [flags.texts, flags.tokens, flags.rounds, flags.threads].map(Number) as [
  number,
  number,
  number,
  number,
]

async function seconds(work: () => Promise<unknown>): Promise<number> {
  const start = performance.now()
  await work()
  return (performance.now() - start) / 1000
}

console.log(`${count} texts of ${tokens} tokens, ${threads} threads, ${cpus()[0]!.model}, load ${loadavg()[0]!.toFixed(1)}`)
for (const name of flags.engine.split(',') as ('native' | 'onnx')[]) {
  const loaded = await loadModel(undefined, { engine: name, threads })
  const engine = new Engine(loaded.model)
  const tokenizer = createTokenizer(await tokenizerFiles(loaded.backbone), loaded.backbone.path)
  const ids = tokenizer.encode(readDocument('LICENSE'))
  const texts = Array.from({ length: count }, (_, i) => ids.slice((i * tokens) % (ids.length - tokens)).slice(0, tokens))
  for (const p of flags.p.split(',').map(Number)) {
    const [alone, together]: [number[], number[]] = [[], []]
    for (let round = 0; round < rounds; round++) {
      alone.push(
        await seconds(async () => {
          for (const text of texts) await scoreIds(engine, text, { p })
        }),
      )
      together.push(
        await seconds(async () => {
          for await (const _ of scoreTexts(engine, texts, { p }));
        }),
      )
    }
    const rate = (times: readonly number[]) => count / spreadOf(times).min
    const [before, after] = [rate(alone), rate(together)]
    console.log(
      `${name} P = ${p}: one by one ${before.toFixed(1)} texts/s, together ${after.toFixed(1)} texts/s (x ${(after / before).toFixed(2)})`,
    )
  }
  await engine.dispose()
  await loaded.close()
}
