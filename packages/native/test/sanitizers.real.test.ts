/** The step without Node under the compiler's sanitizers: it builds for minutes, so it is not among the fast tests. */
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, it } from 'vitest'
import { fixturesFolder } from '../../parscale/test/support/fixtures.ts'
import { packFolder } from './support/streams.ts'

const run = promisify(execFile)
const build = fileURLToPath(new URL('../scripts/build.mjs', import.meta.url))

it.each(['address,undefined', 'thread'])(
  'finds nothing with -fsanitize=%s',
  async (sanitizer) => {
    const { stdout } = await run(process.execPath, [build, '--stress', sanitizer])
    for (const folder of ['transformers/mistral-window', 'transformers/qwen3']) {
      const packed = await packFolder(`${fixturesFolder}${folder}`)
      expect((await run(stdout.trim(), [packed.backbone])).stdout).toBe('ok\n')
      packed.remove()
    }
  },
  900_000,
)
