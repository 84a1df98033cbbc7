import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'

/** `npm pack` of a folder. Gives the tarball's path. */
export async function packTo(folder, from) {
  const { stdout } = await promisify(execFile)('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', folder], {
    cwd: from,
    maxBuffer: 1 << 26,
  })
  const packed = JSON.parse(stdout)
  // An array until npm 11, an object by name since.
  const [{ filename }] = Array.isArray(packed) ? packed : Object.values(packed)
  return join(folder, filename)
}
