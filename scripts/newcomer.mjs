/**
 * Tries the packages as a newcomer would: packs them, installs them into empty projects outside of the clone, behind a network that
 * has nothing but a registry, and uses them. Prints a table of times; ends with 1 if something failed.
 *
 *     node scripts/newcomer.mjs                     what CI runs
 *     node scripts/newcomer.mjs --all               every case of scripts/newcomer/cases.mjs
 *     node scripts/newcomer.mjs --only "yarn 4"     this case
 *     node scripts/newcomer.mjs --prebuilt FOLDER   with modules of `npm run prebuilds -- --into FOLDER` instead of one made now
 */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { parseArgs } from 'node:util'
import { platforms } from '../packages/native/scripts/platforms.mjs'
import { prebuild, writePackage } from '../packages/native/scripts/prebuild.mjs'
import { prebuiltPackages } from '../packages/native/scripts/prebuilt.mjs'
import { cases } from './newcomer/cases.mjs'
import { checks, checkTypes, mustBeQuiet } from './newcomer/checks.mjs'
import { newMachine } from './newcomer/machine.mjs'
import { managers, nodeOf, tscOf, typeVersions } from './newcomer/tools.mjs'
import { packTo } from './release/pack.mjs'
import { requirePageFiles } from './release/page-files.mjs'
import { startRegistry } from './release/registry.mjs'
import { packageNames, root, stage } from './release/stage.mjs'

const {
  all,
  only,
  prebuilt: given,
} = parseArgs({
  options: { all: { type: 'boolean' }, only: { type: 'string' }, prebuilt: { type: 'string' } },
}).values
const temporary = mkdtempSync(join(tmpdir(), 'parscale-newcomer-'))
const chosen = cases.filter(({ name, ci }) => (only === undefined ? all || ci : name === only))
const smollm2 = join(root, '.cache/smollm2/SmolLM2-135M-Instruct.Q4_1.gguf')

const rows = []
let failed = false
async function timed(name, what, work) {
  const began = performance.now()
  let result
  try {
    const { seconds, skipped } = (await work()) ?? {}
    result = skipped ? `left out: ${skipped}` : seconds === undefined ? 'ok' : `ok, the command itself ${seconds.toFixed(1)} s`
  } catch (error) {
    failed = true
    result = 'FAILED'
    process.stderr.write(`\n${name}, ${what}: ${error.message}\n\n`)
  }
  const seconds = ((performance.now() - began) / 1000).toFixed(1)
  rows.push([name, what, `${seconds} s`, result])
  process.stderr.write(`${rows.at(-1).join('  ')}\n`)
  return result !== 'FAILED'
}

const megabytes = (folder) => Number(spawnSync('du', ['-sm', folder], { encoding: 'utf8' }).stdout.split('\t')[0])

async function tryCase({ name, manager, node, flags = '', compiler, prebuilt = true, checks: wanted }, registries) {
  const { programs, add, exec, bare } = managers[manager]
  const { url } = prebuilt ? registries.all : registries.withoutPrebuilt
  const machine = newMachine(temporary, { node: nodeOf(node), programs: programs(), compiler, registry: url })
  const context = {
    machine,
    add,
    parscale: bare ? exec : `${exec} parscale`,
    chatModel: existsSync(smollm2) ? smollm2 : undefined,
    esbuild: join(root, 'node_modules/.bin/esbuild'),
  }
  if (!wanted.includes('npx')) {
    const installed = await timed(name, 'install', async () => {
      mustBeQuiet('the install', (await machine.run(`${add} parscale ${flags}`)).stderr)
      const size = megabytes(join(machine.project, 'node_modules'))
      rows.push([name, 'node_modules', `${size} MB`, ''])
      if (size >= 80) throw new Error(`node_modules takes ${size} MB`)
    })
    if (!installed) return
  }
  for (const check of wanted) if (!(await timed(name, check, () => checks[check](context)))) break
  // The types are those of the tarballs, whoever installs them.
  if (manager === 'npm' && wanted.includes('chat') && node === undefined)
    for (const version of all ? typeVersions : typeVersions.slice(-1))
      for (const resolution of ['nodenext', 'bundler'])
        await timed(name, `types, TypeScript ${version}, ${resolution}`, () => checkTypes(machine, tscOf(version), resolution))
  rmSync(machine.home, { recursive: true, force: true })
}

try {
  const tarballs = join(temporary, 'tarballs')
  mkdirSync(tarballs)
  const packed = []
  const modules = []
  await timed('', 'pack', async () => {
    for (const name of packageNames) packed.push(await packTo(tarballs, await stage(name, join(temporary, 'stage'))))
    requirePageFiles(packed[packageNames.indexOf('parscale')])
    const folders = given
      ? readdirSync(given).map((name) => join(given, name))
      : [await prebuild(prebuiltPackages[0].replace('@parscale/native-', ''), join(temporary, 'prebuilds'), 'system')]
    // Those of other platforms are asked for, and not taken.
    const there = folders.map((folder) => basename(folder))
    for (const platform of Object.keys(platforms).filter((each) => !there.includes(each)))
      folders.push(writePackage(platform, join(temporary, 'prebuilds'), join(root, 'LICENSE')))
    for (const folder of folders) modules.push(await packTo(tarballs, folder))
  })
  if (!failed) {
    const registries = { all: await startRegistry([...packed, ...modules]), withoutPrebuilt: await startRegistry(packed) }
    for (const one of chosen) await tryCase(one, registries)
    await Promise.all(Object.values(registries).map((each) => each.close()))
  }
} finally {
  rmSync(temporary, { recursive: true, force: true })
}
const widths = [0, 1, 2].map((column) => Math.max(...rows.map((row) => row[column].length)))
for (const row of rows)
  process.stdout.write(
    `${row
      .map((cell, i) => cell.padEnd(widths[i] ?? 0))
      .join('  ')
      .trimEnd()}\n`,
  )
process.exitCode = failed ? 1 : 0
