/** Choices of streams that the reference does not have, against numpy (fixtures/options). */
import { readdirSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Fixture, fixturesFolder, maxDifference, readFixture } from '../../testing/fixtures.ts'
import type { Engine } from '../index.ts'
import type { EngineKind } from './engine-kind.ts'

export const optionFixtures = readdirSync(`${fixturesFolder}options`).filter((name) => !name.endsWith('.md'))
const tolerance = 1e-4
const weightTolerance = 1e-5

export function optionsContract({ load }: EngineKind): void {
  describe.each(optionFixtures)('%s', (name) => {
    let fixture: Fixture
    let engine: Engine
    const array = (key: string) => fixture.arrays.get(key)!.data

    beforeAll(async () => {
      fixture = await readFixture(`options/${name}`)
      engine = await load(fixture.folder, { threads: 2 })
    })
    afterAll(() => engine.dispose())

    it("gives numpy's streams, weights and logits in one shot", async () => {
      const sequence = engine.open()
      const [out] = await engine.step([{ sequence, ids: fixture.expected.input_ids, want: 'all' }])
      engine.close(sequence)
      expect(maxDifference(out!.streams, array('streams'))).toBeLessThan(tolerance)
      expect(maxDifference(out!.streamWeights, array('weights'))).toBeLessThan(weightTolerance)
      expect(maxDifference(out!.logits, array('logits'))).toBeLessThan(tolerance)
    })

    it('gives the same token by token', async () => {
      const sequence = engine.open()
      const rows: number[] = []
      for (const id of fixture.expected.input_ids) {
        const [out] = await engine.step([{ sequence, ids: [id], want: 'last' }])
        rows.push(...out!.logits)
      }
      engine.close(sequence)
      expect(maxDifference(rows, array('logits'))).toBeLessThan(tolerance)
    })
  })
}
