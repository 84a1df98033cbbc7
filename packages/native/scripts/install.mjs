// Compiles the module where there is no prebuilt one that loads: in a clone before builds and tests, and by hand on other platforms.
// One that is newer than its sources is left as it is. It is no install script: package managers warn of those or do not run them.
import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from './build.mjs'
import { compiledPath, prebuiltPaths } from './prebuilt.mjs'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const firstLine = (text) => text.trim().split('\n')[0]

/** Why a module does not load; undefined where it does. In a process of its own: a wrong module may end it. */
function fault(path) {
  const load = 'try { require(process.argv[1]) } catch (error) { console.error(error.message); process.exit(1) }'
  const { status, signal, stderr } = spawnSync(process.execPath, ['-e', load, path], { encoding: 'utf8' })
  return status === 0 ? undefined : signal || firstLine(stderr) || `status ${status}`
}

/** Whether what was compiled is newer than all that it is made of. */
function isCurrent() {
  if (!existsSync(compiledPath)) return false
  const made = statSync(compiledPath).mtimeMs
  const sources = ['src', 'src/kernels'].flatMap((folder) =>
    readdirSync(join(root, folder))
      .filter((name) => /\.(cc|h)$/.test(name))
      .map((name) => join(root, folder, name)),
  )
  return [...sources, join(root, 'scripts/build.mjs')].every((path) => statSync(path).mtimeMs <= made)
}

/** Gives the line to show, if any. */
export async function install() {
  const faults = prebuiltPaths().map(fault)
  if (faults.includes(undefined) || isCurrent()) return undefined
  const prebuilt = faults.length === 0 ? '' : `the prebuilt module does not load: ${faults.join('; ')}; `
  try {
    await build()
    return prebuilt && `${prebuilt}compiled one instead`
  } catch (error) {
    const reason = firstLine(String(error?.message ?? error))
    return `${prebuilt}not compiled: ${reason}; it takes a C++ compiler (g++)`
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const line = await install()
  if (line) process.stderr.write(`@parscale/native: ${line}\n`)
}
