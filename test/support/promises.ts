/** The names that the packages promise, read off their public modules by the compiler. */
import { join } from 'node:path'
import ts from 'typescript'
import { readDocument, root } from './markdown.ts'

export interface PromisedName {
  readonly name: string
  /** Absent for types. */
  readonly isValue: boolean
  /** The declaration in one line, without bodies. */
  readonly declaration: string
  /** First paragraph of its comment. */
  readonly comment: string
}

export interface PromisedSubpath {
  readonly specifier: string
  readonly comment: string
  readonly names: readonly PromisedName[]
}

interface Manifest {
  readonly name: string
  readonly exports: Record<string, string | { source?: string }>
}

/** Everything that does not lie below ./internal. */
const entries = ['packages/parscale', 'packages/core'].flatMap((folder) => {
  const { name, exports } = JSON.parse(readDocument(`${folder}/package.json`)) as Manifest
  return Object.entries(exports).flatMap(([subpath, target]) =>
    typeof target === 'object' && target.source !== undefined && !/^\.\/internal(\/|$)/.test(subpath)
      ? [{ specifier: name + subpath.slice(1), file: join(root, folder, target.source) }]
      : [],
  )
})

export function promisedSubpaths(): PromisedSubpath[] {
  const { config } = ts.readConfigFile(join(root, 'tsconfig.check.json'), ts.sys.readFile)
  const { options } = ts.parseJsonConfigFileContent({ ...config, include: [], files: [] }, ts.sys, root)
  const program = ts.createProgram(
    entries.map(({ file }) => file),
    options,
  )
  const checker = program.getTypeChecker()
  return entries.map(({ specifier, file }) => {
    const source = program.getSourceFile(file)!
    const symbols = checker.getExportsOfModule(checker.getSymbolAtLocation(source)!)
    const names = symbols.map((symbol) => described(symbol, checker)).sort((a, b) => (a.name < b.name ? -1 : 1))
    const [header] = ts.getLeadingCommentRanges(source.text, 0) ?? []
    return { specifier, comment: header ? plain(source.text.slice(header.pos, header.end)) : '', names }
  })
}

function described(exported: ts.Symbol, checker: ts.TypeChecker): PromisedName {
  const symbol = exported.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(exported) : exported
  const declaration = symbol.declarations![0]!
  return {
    name: exported.name,
    isValue: (symbol.flags & ts.SymbolFlags.Value) !== 0,
    declaration: signatureOf(declaration, symbol, checker),
    comment: ts.displayPartsToString(symbol.getDocumentationComment(checker)).split(/\n\n/)[0]!.replaceAll('\n', ' '),
  }
}

function signatureOf(declaration: ts.Declaration, symbol: ts.Symbol, checker: ts.TypeChecker): string {
  const oneLine = (text: string) => text.replace(/\s+/g, ' ').trim()
  if (ts.isFunctionDeclaration(declaration) && declaration.body)
    return oneLine(
      declaration
        .getText()
        .slice(0, declaration.body.getStart() - declaration.getStart())
        .replace(/^export (async )?/, ''),
    )
  if (ts.isClassDeclaration(declaration)) return `class ${symbol.name}`
  if (ts.isInterfaceDeclaration(declaration)) return `interface ${symbol.name}`
  if (ts.isTypeAliasDeclaration(declaration)) return oneLine(declaration.getText().replace(/^export /, ''))
  const type = checker.typeToString(checker.getTypeOfSymbolAtLocation(symbol, declaration), declaration)
  return `const ${symbol.name}: ${oneLine(type)}`
}

const plain = (comment: string): string =>
  comment
    .replace(/^\/\*\*|\*\/$/g, '')
    .replace(/^\s*\* ?/gm, '')
    .replace(/\s+/g, ' ')
    .trim()
