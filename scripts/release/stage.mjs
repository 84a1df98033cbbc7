/**
 * The packages as they are published, each in FOLDER/<name>: what package.json lists, with
 * - modules put together, since opening hundreds of files is most of a command's start (zod alone has 95, 64 of them translations
 *   of its messages, which nobody reads here);
 * - a manifest without the `source` condition, whose files stay here;
 * - the packages of prebuilt modules as optional dependencies of @parscale/native.
 */
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import { packageOf, platforms } from '../../packages/native/scripts/platforms.mjs'

export const root = fileURLToPath(new URL('../..', import.meta.url))

/** In the order in which they are published: each after those that it needs. */
export const packageNames = ['core', 'native', 'parscale']

/** Packages that come into ours, with their licences; further entries than those of `exports`. */
const bundles = {
  core: { takes: ['oniguruma-parser', 'zod'], entries: [] },
  native: { takes: [], entries: [] },
  // The server of the Model Context Protocol weighs 8 MB in all its forms; the one that `parscale mcp` loads, 0.6 MB.
  parscale: {
    takes: ['@modelcontextprotocol/server', '@modelcontextprotocol/core'],
    entries: ['dist/cli.js', 'dist/bench/worker.js'],
  },
}

/** Writes one package. Gives its folder. */
export async function stage(name, into) {
  const from = join(root, 'packages', name)
  const to = join(into, name)
  const manifest = JSON.parse(readFileSync(join(from, 'package.json'), 'utf8'))
  if (!existsSync(join(from, 'dist'))) throw new Error(`packages/${name} is not built: npm run build`)
  rmSync(to, { recursive: true, force: true })
  mkdirSync(to, { recursive: true })
  for (const file of [...manifest.files, 'README.md', 'LICENSE'])
    cpSync(join(from, file), join(to, file), { recursive: true, filter: published })
  cpSync(join(root, 'CHANGELOG.md'), join(to, 'CHANGELOG.md'))
  await bundle(manifest, from, to, bundles[name])
  writeFileSync(join(to, 'package.json'), `${JSON.stringify(publishedManifest(name, manifest), null, 2)}\n`)
  filesMustBeThere(join(to, 'dist'))
  return to
}

/** Maps speak of sources that stay here. */
const published = (path) => !/\.(tsbuildinfo|map)$|\.test\.ts$|\/testing$/.test(path)

/** Other packages, and native's scripts, which find their files from where they lie. */
const stays =
  (takes) =>
  ({ path, kind }) => {
    const ours = /^[./]/.test(path) || takes.some((name) => path === name || path.startsWith(`${name}/`))
    if (kind !== 'entry-point' && (!ours || path.startsWith('../scripts/'))) return { path, external: true }
  }

/** Each entry keeps its place, what they share lies beside the entries (packages/parscale/src/package-files.ts). */
async function bundle({ exports }, from, to, { takes, entries }) {
  const files = Object.values(exports).flatMap((entry) => entry.default ?? [])
  // The page's scripts are a build of their own, which stays as it is.
  for (const file of filesBelow(join(to, 'dist')))
    if (file.endsWith('.js') && !file.startsWith(join(to, 'dist/studio-page/'))) rmSync(file)
  const { metafile } = await build({
    absWorkingDir: from,
    entryPoints: [...files, ...entries],
    outdir: join(to, 'dist'),
    outbase: join(from, 'dist'),
    chunkNames: '[name]-[hash]',
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'neutral',
    target: 'node20',
    mainFields: ['module', 'main'],
    conditions: ['import', 'node'],
    plugins: [
      {
        name: 'packages',
        setup({ onLoad, onResolve }) {
          onResolve({ filter: /.*/ }, stays(takes))
          // zod keeps a list of all translations of its messages alive: 400 kB that nobody reads here.
          // Its code comes into a file beside the entries, and the worker keeps its place. Bundlers follow no other expression.
          onLoad({ filter: /\/dist\/web\/load\.js$/ }, ({ path }) => ({
            contents: readFileSync(path, 'utf8').replace("new URL('./worker.js', import", "new URL('./web/worker.js', import"),
          }))
          onLoad({ filter: /\/dist\/web\/step\/step-file\.js$/ }, ({ path }) => ({
            contents: readFileSync(path, 'utf8').replaceAll("new URL('../../../wasm/", "new URL('../wasm/"),
          }))
          onLoad({ filter: /\/zod\/v4\/locales\/index\.js$/ }, () => ({ contents: "export { default as en } from './en.js'" }))
        },
      },
    ],
    legalComments: 'none',
    logLevel: 'warning',
    metafile: true,
  })
  const taken = takes.filter((name) => Object.keys(metafile.inputs).some((path) => path.includes(`node_modules/${name}/`)))
  if (taken.length === 0) return
  const texts = taken.map((name) => {
    const folder = join(root, 'node_modules', name)
    const licence = readdirSync(folder).find((file) => /^licen[cs]e/i.test(file))
    return `${name} ${JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')).version}\n\n${readFileSync(join(folder, licence), 'utf8').trim()}\n`
  })
  writeFileSync(join(to, 'THIRD-PARTY-LICENSES.txt'), `Parts of these packages are in dist/:\n\n${texts.join('\n')}`)
}

/** What is found from where a file lies, after files have been put together. */
function filesMustBeThere(folder) {
  for (const file of filesBelow(folder).filter((path) => path.endsWith('.js')))
    for (const [expression, path] of readFileSync(file, 'utf8').matchAll(
      /new URL\(\s*["'](\.[^"']+)["'],\s*import\.meta\.url\s*\)/g,
    ))
      if (!existsSync(join(dirname(file), path))) throw new Error(`${file}: ${expression} names a file that is not there`)
}

function publishedManifest(name, { devDependencies: _, scripts: __, exports, files, ...rest }) {
  const conditions = ([subpath, entry]) => {
    if (typeof entry === 'string') return [subpath, entry]
    const { source, types, ...others } = entry
    return [subpath, { types, ...others }]
  }
  return {
    ...rest,
    files: [...files, 'CHANGELOG.md', 'THIRD-PARTY-LICENSES.txt'],
    exports: Object.fromEntries(Object.entries(exports).map(conditions)),
    ...(name === 'native' && {
      optionalDependencies: Object.fromEntries(Object.keys(platforms).map((platform) => [packageOf(platform), rest.version])),
    }),
  }
}

export function filesBelow(folder) {
  return readdirSync(folder, { recursive: true })
    .map((path) => join(folder, path))
    .filter((path) => statSync(path).isFile())
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const into = process.argv[2] ?? join(root, '.cache/release')
  for (const name of packageNames) process.stdout.write(`${relative(dirname(into), await stage(name, into))}\n`)
}
