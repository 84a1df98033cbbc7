/** docs/configuration.md and the man page are printed from the commands' definitions, and name every variable that is read. */
import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'
import { printedPages } from '../scripts/configuration-page.ts'

const pages = await printedPages()

it.each([...pages])('%s says what the definitions say; else run scripts/configuration-page.ts', (path, text) => {
  expect(readFileSync(path, 'utf8')).toBe(text)
})

it('has every PARSCALE_ variable that the packages read', () => {
  const root = fileURLToPath(new URL('../packages', import.meta.url))
  const sources = (readdirSync(root, { recursive: true }) as string[]).filter(
    (name) => /^(core|native|parscale)\/src\/.*\.ts$/.test(name) && !/\.test\.ts$|\/testing\//.test(name),
  )
  const read = new Set(
    sources.flatMap((name) => readFileSync(`${root}/${name}`, 'utf8').match(/\bPARSCALE_[A-Z_]*[A-Z]\b/g) ?? []),
  )
  const page = [...pages.values()][0]!
  expect(read.size).toBeGreaterThan(5)
  for (const variable of read) expect(page, variable).toContain(`\`${variable}\``)
})

const groff = spawnSync('groff', ['--version']).status === 0
it.runIf(groff)('the man page is good troff', () => {
  const { stderr, status } = spawnSync('groff', ['-man', '-Tutf8', '-ww', '-z'], {
    input: [...pages.values()][1]!,
    encoding: 'utf8',
  })
  expect([status, stderr]).toEqual([0, ''])
})
