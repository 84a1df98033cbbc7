// After npm has unpacked this package: a prebuilt module is taken as it is, else one is built. Where neither can be, one line
// says so and the install goes on: parscale then runs on ONNX Runtime.
import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const prebuilt = join(root, 'prebuilds', `${process.platform}-${process.arch}`, 'parscale.node')

if (!existsSync(prebuilt)) {
  try {
    const { build } = await import('./build.mjs')
    await build()
  } catch (error) {
    const reason = String(error?.message ?? error)
      .trim()
      .split('\n')[0]
    process.stderr.write(`@parscale/native: not built (${reason}); parscale runs on ONNX Runtime instead\n`)
  }
}
