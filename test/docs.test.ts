/** Documents point at what exists: files, headings, npm scripts. */
import { existsSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import { describe, expect, it } from 'vitest'
import { allDocuments, anchors, links, readDocument, root } from './support/markdown.ts'

const { scripts } = JSON.parse(readDocument('package.json')) as { scripts: Record<string, string> }

/** `npm run NAME`, `npm start` and `npm test`; what runs in another package (`--prefix`, `-w`) is that package's. */
function npmScripts(markdown: string): string[] {
  const named = [...markdown.matchAll(/\bnpm run (?:--silent |-s )?([\w:-]+)/g)].map(([, name]) => name!)
  const short = [...markdown.matchAll(/\bnpm (start|test)\b/g)].map(([, name]) => name!)
  return [...new Set([...named, ...short])]
}

describe.each(allDocuments())('%s', (document) => {
  const text = readDocument(document)

  it('links to files and headings that exist', () => {
    const broken = links(text).filter((target) => {
      if (/^[a-z]+:/i.test(target)) return false
      const [path, anchor] = target.split('#') as [string, string?]
      const file = path === '' ? document : normalize(join(dirname(document), decodeURI(path)))
      if (!existsSync(join(root, file))) return true
      return anchor !== undefined && file.endsWith('.md') && !anchors(readDocument(file)).has(anchor)
    })
    expect(broken).toEqual([])
  })

  it('names npm scripts that exist', () => {
    expect(npmScripts(text).filter((name) => !(name in scripts))).toEqual([])
  })
})
