// After npm has unpacked this package: a module that was compiled beforehand is taken as it is, else one is compiled. Where neither
// can be, one line says so and the install goes on: parscale then runs on ONNX Runtime.
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { build } from './build.mjs'
import { prebuiltPath } from './prebuilt.mjs'

const firstLine = (text) => text.trim().split('\n')[0]

/** Why a module does not load; undefined where it does. In a process of its own: a wrong module may end it. */
function fault(path) {
  const load = 'try { require(process.argv[1]) } catch (error) { console.error(error.message); process.exit(1) }'
  const { status, signal, stderr } = spawnSync(process.execPath, ['-e', load, path], { encoding: 'utf8' })
  return status === 0 ? undefined : signal || firstLine(stderr) || `status ${status}`
}

async function install() {
  const broken = existsSync(prebuiltPath) ? fault(prebuiltPath) : 'there is none'
  if (!broken) return undefined
  const prebuilt = broken === 'there is none' ? '' : `the prebuilt module does not load: ${broken}; `
  try {
    await build()
    return prebuilt && `${prebuilt}compiled one instead`
  } catch (error) {
    return `${prebuilt}not compiled: ${firstLine(String(error?.message ?? error))}; parscale runs on ONNX Runtime instead`
  }
}

const line = await install()
if (line) process.stderr.write(`@parscale/native: ${line}\n`)
