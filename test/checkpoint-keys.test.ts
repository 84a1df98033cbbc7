/** The keys in docs/checkpoints.md are printed from the reader of config.json. */
import { readFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import { checkpointsPage, printCheckpointKeys } from '../scripts/checkpoint-keys.ts'

it('says what the reader does; else run scripts/checkpoint-keys.ts', () => {
  const page = readFileSync(checkpointsPage, 'utf8')
  expect(page).toBe(printCheckpointKeys(page))
})
