/** Before the first step, streams that start near the identity give the plain model's logits; from then on they learn. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { fixturesFolder } from '../../testing/fixtures.ts'
import { nearIdentityChoices, startNearIdentity } from '../../testing/near-identity.ts'

let scratch: string
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'parscale-'))
})
afterAll(() => rm(scratch, { recursive: true }))

const ids = Array.from({ length: 25 }, (_, i) => (17 + 31 * i * i) % 259)

describe.each(['goldens/qwen2-p1', 'transformers/llama3-rope'])('%s', (model) => {
  it.each(Object.entries(nearIdentityChoices))('%s', async (name, options) => {
    const set = join(scratch, model, name)
    const { change, silent, losses } = await startNearIdentity(`${fixturesFolder}${model}`, set, options, ids, 6)
    expect(change).toBeLessThan(1e-5)
    expect(silent).toEqual([])
    // Behind a gate the first steps are the gate's own, up and down.
    if (!options.gate) expect(losses.at(-1)!).toBeLessThan(losses[0]!)
  })
})
