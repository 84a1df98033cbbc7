/** docs/support.md is printed from the table of families. */
import { readFileSync } from 'node:fs'
import { modelTypes } from '@parscale/core/internal/model'
import { expect, it } from 'vitest'
import { printSupport, supportPage } from '../scripts/support-page.ts'

it('says what the tables say; else run scripts/support-page.ts', () => {
  const page = readFileSync(supportPage, 'utf8')
  expect(page).toBe(printSupport(page))
  for (const family of modelTypes) expect(page).toContain(`| \`${family}\` |`)
})
