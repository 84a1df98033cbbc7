/** What a command loads before it works: packages that it has no use for cost every start. It runs from source, whose modules are those of the build. */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { commands } from './cli.ts'

const source = (path: string) => fileURLToPath(new URL(path, import.meta.url))
let folder: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'parscale-modules-'))
  writeFileSync(
    join(folder, 'hooks.mjs'),
    `import { appendFileSync } from 'node:fs'
     export async function load(url, context, next) {
       appendFileSync(process.env.LOADED_MODULES, url + '\\n')
       return await next(url, context)
     }`,
  )
  writeFileSync(
    join(folder, 'register.mjs'),
    `import { createRequire, register } from 'node:module'
     import { appendFileSync } from 'node:fs'
     register(${JSON.stringify(pathToFileURL(join(folder, 'hooks.mjs')))})
     const { cache } = createRequire(import.meta.url)
     process.on('exit', () => appendFileSync(process.env.LOADED_MODULES, Object.keys(cache).join('\\n')))`,
  )
})
afterAll(() => rmSync(folder, { recursive: true }))

/** Packages, and rooms of core, of which the command loads a module. */
function loadedBy(...args: string[]): Set<string> {
  const file = join(folder, `${args[0]}.txt`)
  execFileSync(
    process.execPath,
    ['--conditions=source', '--import', 'tsx', '--import', join(folder, 'register.mjs'), source('./testing/main.ts'), ...args],
    { env: { ...process.env, LOADED_MODULES: file, PARSCALE_CACHE: join(folder, 'cache') }, stdio: ['ignore', 'ignore', 'pipe'] },
  )
  const names = readFileSync(file, 'utf8')
    .split('\n')
    .flatMap((url) => [
      /node_modules\/((?:@[^/]+\/)?[^/]+)\/(?!.*node_modules)/.exec(url)?.[1],
      /packages\/(core\/src\/[^/]+)\//.exec(url)?.[1],
    ])
  return new Set(names.filter((name) => name !== undefined))
}

it('--version and --help need the parser of flags and nothing else', () => {
  for (const flag of ['--version', '--help']) {
    const own = [...loadedBy(flag)].filter((name) => !['tsx', 'esbuild', 'get-tsconfig', 'resolve-pkg-maps'].includes(name))
    expect(own.sort()).toEqual(['@commander-js/extra-typings', 'commander'])
  }
})

it('generate on the native step loads no other engine, no graphs, no data and no templates', () => {
  const loaded = loadedBy('generate', '--engine', 'native', '--prompt', 'x', '--max-tokens', '1')
  expect(loaded).toContain('core/src/generation')
  const unused = ['onnxruntime-node', '@bufbuild/protobuf', '@huggingface/jinja', 'fzstd', 'hyparquet-compressors', 'undici']
  for (const name of [...unused, 'core/src/training', 'core/src/law', 'core/src/cost', 'core/src/evaluation'])
    expect(loaded, name).not.toContain(name)
})

it.each(commands.map(({ name }) => [name]))('%s is loaded when it is asked for', async (name) => {
  const { register } = await commands.find((command) => command.name === name)!.load()
  expect(register).toBeTypeOf('function')
})
