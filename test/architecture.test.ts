/** The diagram in docs/architecture.md is held against the code: its files exist, and each arrow joins two of which one imports the other. */
import { existsSync, readFileSync } from 'node:fs'
import { dirname, join, posix } from 'node:path'
import { describe, expect, it } from 'vitest'
import { codeBlocks, readDocument, root } from './support/markdown.ts'

const diagram = codeBlocks(readDocument('docs/architecture.md')).find(({ language }) => language === 'mermaid')!.code
/** Nodes are written `id[path<br>what]`, with the path below packages/. */
const nodes = new Map(
  [...diagram.matchAll(/^ *(\w+)\["([^"<]+?)(?:<br>[^"]*)?"\]/gm)].map(([, id, path]) => [id!, `packages/${path}`]),
)
const arrows = [...diagram.matchAll(/^ *(\w+) --> (\w+)/gm)].map(([, from, to]) => [from!, to!] as const)

const packageSources: Readonly<Record<string, string>> = {
  '@parscale/core': 'packages/core/src',
  '@parscale/native': 'packages/native/src',
}

/** Files that a file imports; of an index.ts, also those that it hands on. */
function importsOf(file: string, seen = new Set<string>()): Set<string> {
  if (seen.has(file)) return seen
  const found = [...readFileSync(join(root, file), 'utf8').matchAll(/\b(?:from|import)\s*\(?\s*'([^']+)'/g)].flatMap(
    ([, specifier]) => {
      if (specifier!.startsWith('.')) return [posix.join(dirname(file), specifier!)]
      const name = Object.keys(packageSources).find((known) => specifier === known || specifier!.startsWith(`${known}/`))
      if (name === undefined) return []
      const room = `${packageSources[name]}${specifier!.slice(name.length).replace('/internal', '')}`
      return [`${room}.ts`, `${room}/index.ts`]
    },
  )
  for (const next of found.filter((path) => existsSync(join(root, path)))) {
    if (next.endsWith('/index.ts')) for (const path of importsOf(next, new Set())) seen.add(path)
    seen.add(next)
  }
  return seen
}

describe('the diagram of the way of the data', () => {
  it('has arrows between nodes that it names', () => {
    expect(arrows.length).toBeGreaterThan(20)
    expect(arrows.flat().filter((id) => !nodes.has(id))).toEqual([])
    expect([...nodes.keys()].filter((id) => !arrows.flat().includes(id))).toEqual([])
  })

  it.each([...nodes])('%s is a file: %s', (_, path) => {
    expect(existsSync(join(root, path))).toBe(true)
  })

  it.each(arrows.map(([from, to]) => [nodes.get(from)!, nodes.get(to)!] as const))('%s and %s know each other', (from, to) => {
    expect(importsOf(from).has(to) || importsOf(to).has(from)).toBe(true)
  })
})
