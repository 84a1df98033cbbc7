/** What reads files, under the compiler's sanitizers: packed files that are wrong, and packing in memory and into files. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { fixturesFolder } from '../../core/src/testing/fixtures.ts'
import { build, run } from './support/programs.ts'
import { packFolder } from './support/streams.ts'

it.each([1, 2])('-fsanitize=address,undefined finds nothing in packed files that are wrong, seed %i', async (seed) => {
  const sanitize = 'address,undefined'
  const fuzz = await build({ program: 'fuzz', sanitize })
  const packed = await packFolder(`${fixturesFolder}transformers/qwen3-streams-p2`)
  const scratch = join(packed.backbone, '..', 'changed')
  const { stdout } = await run(fuzz, [packed.backbone, packed.aggregators.get(2)!, scratch, '10000', String(seed)])
  const [opened, refused] = (stdout.match(/\d+/g) ?? []).map(Number)
  // Both ends of the loader were reached.
  expect(opened).toBeGreaterThan(1000)
  expect(refused).toBeGreaterThan(1000)
  packed.remove()
})

it.each(['address,undefined', 'thread'])(
  '-fsanitize=%s finds nothing where weights are packed, rounded too',
  async (sanitize) => {
    const folder = await mkdtemp(join(tmpdir(), 'parscale-packing-'))
    expect((await run(await build({ program: 'packing', sanitize }), [join(folder, 'blocks')])).stdout).toBe('ok\n')
    await rm(folder, { recursive: true })
  },
)
