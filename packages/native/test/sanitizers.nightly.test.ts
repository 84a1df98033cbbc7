/** The step without Node under the compiler's sanitizers: eight minutes and more. */
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { fixturesFolder } from '../../core/src/testing/fixtures.ts'
import { build, run } from './support/programs.ts'
import { packFolder } from './support/streams.ts'

describe.each(['address,undefined', 'thread'])('-fsanitize=%s finds nothing', (sanitize) => {
  it.each(['transformers/mistral-window', 'transformers/qwen3'])('in steps of %s', async (folder) => {
    const stress = await build({ program: 'stress', sanitize })
    const packed = await packFolder(`${fixturesFolder}${folder}`)
    expect((await run(stress, [packed.backbone])).stdout).toBe('ok\n')
    packed.remove()
  })
})

it('-fsanitize=address,undefined finds nothing in any kernel', async () => {
  expect((await run(await build({ program: 'kernels', sanitize: 'address,undefined' }))).stdout).toMatch(/\nok\n$/)
})

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
