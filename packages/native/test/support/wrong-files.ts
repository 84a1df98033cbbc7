/**
 * What the sanitizers say of packed files that were changed at random. Needs a compiler.
 */
import { join } from 'node:path'
import { expect } from 'vitest'
import { fixturesFolder } from '../../../core/src/testing/fixtures.ts'
import { build, run } from './programs.ts'
import { packFolder } from './streams.ts'

/** Opens 10,000 wrong files. Both ends of the loader are reached. */
export async function openWrongFiles(sanitize: string, seed: number): Promise<void> {
  const fuzz = await build({ program: 'fuzz', sanitize })
  const packed = await packFolder(`${fixturesFolder}transformers/qwen3-streams-p2`)
  const scratch = join(packed.backbone, '..', 'changed')
  const { stdout } = await run(fuzz, [packed.backbone, packed.aggregators.get(2)!, scratch, '10000', String(seed)])
  const [opened, refused] = (stdout.match(/\d+/g) ?? []).map(Number)
  expect(opened).toBeGreaterThan(1000)
  expect(refused).toBeGreaterThan(1000)
  packed.remove()
}
