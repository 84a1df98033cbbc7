/** What the packages promise: under 170 names, each with a comment; a name that comes or goes shows in public-names.txt. */
import { readdirSync, readFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import { apiPage, printApi } from '../scripts/api-page.ts'
import { allDocuments, codeBlocks, readDocument } from './support/markdown.ts'
import { promisedSubpaths } from './support/promises.ts'

const subpaths = promisedSubpaths()

it('promises these names', async () => {
  const lines = subpaths.map(({ specifier, names }) => {
    const listed = names.map(({ name, isValue }) => (isValue ? name : `type ${name}`)).sort()
    return [specifier, ...listed.map((name) => `  ${name}`), ''].join('\n')
  })
  await expect(lines.join('\n')).toMatchFileSnapshot('public-names.txt')
  expect(subpaths.flatMap(({ names }) => names).length).toBeLessThan(170)
})

it('says of each what it is', () => {
  const silent = subpaths.flatMap(({ specifier, names }) =>
    names.filter(({ comment }) => comment.length < 10).map(({ name }) => `${specifier}: ${name}`),
  )
  expect(silent).toEqual([])
})

it('prints them in docs/api.md; else run scripts/api-page.ts', () => {
  expect(readFileSync(apiPage, 'utf8')).toBe(printApi(subpaths))
})

it('README, docs and examples import promised names only', () => {
  const texts = [
    ...allDocuments().flatMap((path) => codeBlocks(readDocument(path)).map(({ code }) => [path, code] as const)),
    ...readdirSync('examples')
      .filter((name) => name.endsWith('.ts'))
      .map((name) => [`examples/${name}`, readDocument(`examples/${name}`)] as const),
  ]
  const broken = texts.flatMap(([path, code]) =>
    [...code.matchAll(/import (?:type )?\{([^}]*)\} from '((?:@parscale\/|parscale)[^']*)'/g)].flatMap(([, names, specifier]) => {
      const known = subpaths.find((subpath) => subpath.specifier === specifier)?.names.map(({ name }) => name) ?? []
      const wanted = names!.split(',').flatMap(
        (name) =>
          name
            .trim()
            .replace(/^type /, '')
            .split(' as ')[0] || [],
      )
      return wanted.filter((name) => !known.includes(name)).map((name) => `${path}: ${name} from ${specifier}`)
    }),
  )
  expect(broken).toEqual([])
})
