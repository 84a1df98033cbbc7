/** The pictures of README.md are what the command draws. */
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { folder, still } from '../scripts/pictures.ts'

test.each(Object.entries(still))('%s', (name, draw) => {
  expect(readFileSync(folder + name, 'utf8')).toBe(draw())
})
