/**
 * Other implementations' numbers, array by array: the ParScale reference (fixtures/goldens) and transformers
 * (fixtures/transformers), within the tolerances that fixtures/goldens/README.md gives.
 */

import { readdirSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { argmax, type Fixture, fixturesFolder, type LoadEngine, maxDifference, readFixture } from '../../testing/fixtures.ts'
import type { Engine } from '../engine.ts'
import type { Sequence } from '../sequence.ts'

export const referenceFixtures: readonly string[] = ['goldens', 'transformers'].flatMap((group) =>
  readdirSync(`${fixturesFolder}${group}`)
    .filter((name) => !name.endsWith('.md'))
    .map((name) => `${group}/${name}`),
)
export const logitTolerance = 1e-4
const weightTolerance = 1e-5

/** Greedy ids and the logits that each was picked from. */
async function greedy(engine: Engine, sequence: Sequence, prompt: readonly number[], count: number) {
  const ids: number[] = []
  const logits: number[] = []
  let result = await engine.prefill(sequence, prompt)
  for (;;) {
    const id = argmax(result.logits)
    ids.push(id)
    logits.push(...result.logits)
    if (ids.length === count) return { ids, logits }
    result = (await engine.step([{ sequence, ids: [id], want: 'last' }]))[0]!
  }
}

/**
 * What an engine gives at every golden, with one thread and with two. `kind` is its name in the tests' titles.
 *
 * @param fixtures those that the engine does not refuse
 */
export function referenceContract(
  kind: string,
  load: LoadEngine<{ readonly threads?: number }>,
  fixtures: readonly string[] = referenceFixtures,
): void {
  describe.each([1, 2].flatMap((threads) => fixtures.map((name) => [name, threads] as const)))(
    `%s, ${kind}, %i thread(s)`,
    (name, threads) => {
      let fixture: Fixture
      let engine: Engine
      const array = (key: string) => fixture.arrays.get(key)!.data

      beforeAll(async () => {
        fixture = await readFixture(name)
        engine = await load(fixture.folder, { threads })
      })
      afterAll(() => engine.model.dispose())

      it('gives logits, hidden states, stream outputs and stream weights in one shot', async () => {
        const { input_ids: ids } = fixture.expected
        const sequence = engine.open()
        const [out] = await engine.step([{ sequence, ids, want: 'all' }])
        engine.close(sequence)
        expect(maxDifference(out!.logits, array('logits'))).toBeLessThan(logitTolerance)
        expect(maxDifference(out!.hidden, array('hidden'))).toBeLessThan(logitTolerance)
        expect(maxDifference(out!.streams.slice(-array('stream_hidden_last').length), array('stream_hidden_last'))).toBeLessThan(
          logitTolerance,
        )
        if (sequence.p > 1) expect(maxDifference(out!.streamWeights, array('agg_weights'))).toBeLessThan(weightTolerance)
      })

      it('generates the reference greedy tokens with the cache', async () => {
        const { input_ids, generated_ids } = fixture.expected
        const sequence = engine.open()
        const out = await greedy(engine, sequence, input_ids, generated_ids.length)
        engine.close(sequence)
        expect(out.ids).toEqual(generated_ids)
        expect(maxDifference(out.logits, array('generated_logits'))).toBeLessThan(logitTolerance)
      })

      it('gives the same in one shot and in chunks of any size', async () => {
        const { input_ids, generated_ids } = fixture.expected
        const all = [...input_ids, ...generated_ids.slice(0, -1)]
        for (const chunk of [all.length, 7, 5, 1]) {
          const sequence = engine.open()
          const logits: number[] = []
          for (let at = 0; at < all.length; at += chunk) {
            const [out] = await engine.step([{ sequence, ids: all.slice(at, at + chunk), want: 'all' }])
            logits.push(...out!.logits)
          }
          engine.close(sequence)
          const expected = array('generated_logits')
          expect(maxDifference(logits.slice(-expected.length), expected), `chunks of ${chunk}`).toBeLessThan(logitTolerance)
        }
      })

      it('gives each row of a left-padded batch what it gives alone', async () => {
        const { input_ids, attention_mask, generated_ids } = fixture.expected.batch2
        const prompts = input_ids.map((row, i) => row.filter((_, t) => attention_mask[i]![t] === 1))
        const sequences = prompts.map(() => engine.open())
        let results = await engine.step(sequences.map((sequence, i) => ({ sequence, ids: prompts[i]!, want: 'last' })))
        expect(
          maxDifference(
            results.flatMap((r) => [...r!.logits]),
            array('batch2_logits_last'),
          ),
        ).toBeLessThan(logitTolerance)
        const ids: number[][] = sequences.map(() => [])
        const logits: number[][] = sequences.map(() => [])
        for (let step = 0; step < generated_ids[0]!.length; step++) {
          for (const [i, result] of results.entries()) {
            ids[i]!.push(argmax(result!.logits))
            logits[i]!.push(...result!.logits)
          }
          if (step + 1 < generated_ids[0]!.length) {
            results = await engine.step(sequences.map((sequence, i) => ({ sequence, ids: [ids[i]!.at(-1)!], want: 'last' })))
          }
        }
        for (const sequence of sequences) engine.close(sequence)
        expect(ids).toEqual(generated_ids)
        expect(maxDifference(logits.flat(), array('batch2_generated_logits'))).toBeLessThan(logitTolerance)
      })

      // Only the golden models have numbers for this.
      if (name.startsWith('goldens/')) {
        it('lets positions start elsewhere, as a batch whose padding counts does', async () => {
          const { input_ids, attention_mask } = fixture.expected.batch2
          const found: number[] = []
          for (const [i, row] of input_ids.entries()) {
            const padding = attention_mask[i]!.indexOf(1)
            const sequence = engine.open({ firstPosition: padding })
            const [out] = await engine.step([{ sequence, ids: row.slice(padding), want: 'last' }])
            found.push(...out!.logits)
            engine.close(sequence)
          }
          expect(maxDifference(found, array('batch2_logits_last_default_positions'))).toBeLessThan(logitTolerance)
        })
      }
    },
  )
}
