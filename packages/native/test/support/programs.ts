/** Programs of this folder, compiled with the package's own script. */
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

export const run = promisify(execFile)

const script = fileURLToPath(new URL('../../scripts/build.mjs', import.meta.url))

const built = new Map<string, Promise<string>>()

/** What build.mjs takes; gives the path of what it made, once for all tests of a file. */
export function build(options: { program?: string; sanitize?: string; arch?: string }): Promise<string> {
  const flags = Object.entries(options).flatMap(([name, value]) => [`--${name}`, value])
  const key = flags.join(' ')
  const path = built.get(key) ?? run(process.execPath, [script, ...flags]).then(({ stdout }) => stdout.trim())
  built.set(key, path)
  return path
}
