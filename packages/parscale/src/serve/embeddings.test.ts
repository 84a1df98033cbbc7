/**
 * /v1/embeddings against other implementations: the hidden states that transformers and the ParScale reference recorded (`hidden` of
 * fixtures/transformers and fixtures/goldens, by scripts/fixtures/make-transformers-fixtures.py), pooled here.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { modelFiles, TextModel } from '@parscale/core/internal/generation'
import { openModelFolder } from '@parscale/core/internal/node'
import { byteTokenizerFiles, createTokenizer } from '@parscale/core/internal/tokenizer'
import { afterAll, describe, expect, it } from 'vitest'
import { referenceFixtures } from '../../../core/src/generation/testing/reference-contract.ts'
import { fixturesFolder, maxDifference, readFixture } from '../../../core/src/testing/fixtures.ts'
import { chooseEngine, type EngineName, startModel } from '../load/decode-engine.ts'
import { listening } from './testing/listening.ts'

/** That of the fixtures' hidden states, which are around 1; vectors of unit length are smaller. */
const tolerance = 1e-4

/** Rows [T, H] as one vector [H] of unit length. In double precision. */
function pooled(rows: readonly (readonly number[])[], pooling: 'last' | 'mean'): number[] {
  const sums = pooling === 'last' ? rows.at(-1)! : rows[0]!.map((_, h) => rows.reduce((sum, row) => sum + row[h]!, 0))
  const length = Math.sqrt(sums.reduce((sum, x) => sum + x * x, 0))
  return sums.map((x) => x / length)
}

const cacheDirectory = mkdtempSync(join(tmpdir(), 'parscale-embeddings-'))
afterAll(() => rmSync(cacheDirectory, { recursive: true, force: true }))

/** A server over the fixture's model on an engine. */
async function serving(path: string, engine: EngineName) {
  const folder = await openModelFolder(path)
  const model = await startModel(engine, await modelFiles(folder), { threads: 1, cacheDirectory })
  await folder.close()
  const text = new TextModel(model, createTokenizer(byteTokenizerFiles(['<begin>', '<end>'])))
  return { text, ...(await listening({ m: text })) }
}

/** Engines and the fixtures that they run: the native step refuses some families. */
const cases: [EngineName, string[]][] = [
  ['native', []],
  ['onnx', [...referenceFixtures]],
]
for (const name of referenceFixtures) {
  const folder = await openModelFolder(`${fixturesFolder}${name}`)
  const { engine } = await chooseEngine([(await modelFiles(folder)).config])
  if (engine === 'native') cases[0]![1].push(name)
  await folder.close()
}

it('has models for both engines', () => {
  for (const [engine, names] of cases) expect(names.length, engine).toBeGreaterThan(10)
})

describe.each(cases)('on %s', (engine, names) => {
  it.each(names)('%s', async (name) => {
    const { folder, expected, arrays } = await readFixture(name)
    const { data, shape } = arrays.get('hidden')!
    const [T, H] = shape as [number, number]
    const rows = Array.from({ length: T }, (_, t) => [...data.subarray(t * H, (t + 1) * H)])
    const server = await serving(folder, engine)
    try {
      const embed = async (input: readonly (readonly number[])[], more: object) => {
        const body = JSON.stringify({ model: 'm', input, encoding_format: 'float', ...more })
        const headers = { 'content-type': 'application/json' }
        const response = await fetch(`${server.baseURL}/embeddings`, { method: 'POST', headers, body })
        const { data } = (await response.json()) as { data: { embedding: number[] }[] }
        return data.map(({ embedding }) => embedding)
      }
      const ids = expected.input_ids
      // A causal model: what comes before a place is all that it depends on, so a shorter prompt's states are the first of these.
      const prompts = [ids, ids.slice(0, 5), ids.slice(0, 1)]
      for (const pooling of ['last', 'mean', undefined] as const) {
        const got = await embed(prompts, { ...(pooling && { pooling }) })
        for (const [i, prompt] of prompts.entries()) {
          const wanted = pooled(rows.slice(0, prompt.length), pooling ?? 'mean')
          expect(maxDifference(got[i]!, wanted), `${pooling ?? 'usual'} of ${prompt.length} tokens`).toBeLessThan(tolerance)
        }
      }
      // What an answer would be if the other pooling were taken.
      expect(maxDifference(pooled(rows, 'last'), pooled(rows, 'mean'))).toBeGreaterThan(100 * tolerance)
    } finally {
      await server.stop()
      await server.text.dispose()
    }
  })
})
