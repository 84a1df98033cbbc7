import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, it } from 'vitest'
import { engines } from '../testing/engines.ts'

const program = fileURLToPath(new URL('../testing/generating-workers.ts', import.meta.url))

// ONNX Runtime's addon aborts the process when its worker is terminated in mid-run; it has to be asked.
const ways = engines.flatMap((engine): [string, string][] =>
  engine === 'native'
    ? [
        [engine, 'stop'],
        [engine, 'terminate'],
      ]
    : [[engine, 'stop']],
)

it.each(ways)('the process outlives workers in the middle of generating: %s, %s', async (engine, how) => {
  const { stdout } = await promisify(execFile)(
    process.execPath,
    ['--conditions=source', '--import', 'tsx', program, engine, how],
    { encoding: 'utf8' },
  )
  expect(stdout).toBe('survived\n')
})
