/** What each package exports, types included: a name that comes or goes is a decision, so it shows in public-names.txt. */
import { join } from 'node:path'
import ts from 'typescript'
import { expect, it } from 'vitest'
import { readDocument, root } from './support/markdown.ts'

interface Manifest {
  readonly name: string
  readonly exports: Record<string, string | { source?: string }>
}

const entries = ['packages/core', 'packages/parscale'].flatMap((folder) => {
  const { name, exports } = JSON.parse(readDocument(`${folder}/package.json`)) as Manifest
  return Object.entries(exports).flatMap(([subpath, target]) =>
    typeof target === 'object' && target.source !== undefined
      ? [{ specifier: name + subpath.slice(1), file: join(root, folder, target.source) }]
      : [],
  )
})

it('exports these names', async () => {
  const { config } = ts.readConfigFile(join(root, 'tsconfig.check.json'), ts.sys.readFile)
  const { options } = ts.parseJsonConfigFileContent({ ...config, include: [], files: [] }, ts.sys, root)
  const program = ts.createProgram(
    entries.map(({ file }) => file),
    options,
  )
  const checker = program.getTypeChecker()
  const lines = entries.map(({ specifier, file }) => {
    const module = checker.getSymbolAtLocation(program.getSourceFile(file)!)!
    const symbols = checker.getExportsOfModule(module).map((symbol) => ({
      name: symbol.name,
      isValue: (resolved(symbol, checker).flags & ts.SymbolFlags.Value) !== 0,
    }))
    const names = symbols.map(({ name, isValue }) => (isValue ? name : `type ${name}`)).sort()
    return [specifier, ...names.map((name) => `  ${name}`), ''].join('\n')
  })
  await expect(lines.join('\n')).toMatchFileSnapshot('public-names.txt')
})

const resolved = (symbol: ts.Symbol, checker: ts.TypeChecker): ts.Symbol =>
  symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol
