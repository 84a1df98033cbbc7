/** Every portable entry of @parscale/core bundles for a browser: nothing of Node comes in, and no engine unless handed one. */
import { type BuildOptions, build, type Metafile } from 'esbuild'
import { describe, expect, it } from 'vitest'
import { readDocument, root } from './support/markdown.ts'

const { exports } = JSON.parse(readDocument('packages/core/package.json')) as {
  exports: Record<string, string | Record<string, string | null>>
}
const portable = Object.keys(exports).filter(
  (subpath) => subpath !== './package.json' && !/^\.\/(internal\/)?node(\/|$)/.test(subpath),
)

/** What a bundler for browsers takes in when a program imports everything of one subpath. */
async function bundle(subpath: string, options: Pick<BuildOptions, 'splitting' | 'outdir'> = {}): Promise<Metafile> {
  const { metafile, warnings } = await build({
    stdin: { contents: `export * from '@parscale/core${subpath.slice(1)}'`, resolveDir: root },
    bundle: true,
    write: false,
    metafile: true,
    format: 'esm',
    platform: 'browser',
    conditions: ['source'],
    logLevel: 'silent',
    ...options,
  })
  // A require of node: inside of a try is only a warning to esbuild.
  expect(warnings).toEqual([])
  return metafile
}

const packagesIn = (metafile: Metafile) =>
  new Set(Object.keys(metafile.inputs).flatMap((path) => /node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(path)?.[1] ?? []))

describe('a bundle for browsers', () => {
  it.each(portable)('%s takes nothing from Node', async (subpath) => {
    const metafile = await bundle(subpath) // fails on an import of node:
    const left = Object.values(metafile.outputs).flatMap(({ imports }) => imports)
    expect(left).toEqual([])
    expect(packagesIn(metafile)).not.toContain('onnxruntime-node')
    expect(Object.keys(metafile.inputs).filter((path) => path.startsWith('packages/core/src/node/'))).toEqual([])
  })

  it.each(['./law', './cost'])('%s is arithmetic: no other package comes in', async (subpath) => {
    expect([...packagesIn(await bundle(subpath))]).toEqual([])
  })

  it.each(portable)('%s loads the languages of IFEval only when they are asked for', async (subpath) => {
    const { outputs } = await bundle(subpath, { splitting: true, outdir: 'nowhere' })
    const [entry] = Object.values(outputs).filter(({ entryPoint }) => entryPoint === '<stdin>')
    const atOnce = entry!.imports.filter(({ kind }) => kind === 'import-statement').map(({ path }) => outputs[path]!)
    const taken = [entry!, ...atOnce].flatMap(({ inputs }) => Object.entries(inputs))
    expect(taken.length).toBeGreaterThan(0)
    expect(taken.filter(([path, { bytesInOutput }]) => path.includes('node_modules/franc/') && bytesInOutput > 0)).toEqual([])
  })

  it('cannot take the Node room', async () => {
    await expect(bundle('./node')).rejects.toThrow('Could not resolve "@parscale/core/node"')
  })
})
