/** The step without Node under the compiler's sanitizers: eight minutes and more. */
import { describe, expect, it } from 'vitest'
import { fixturesFolder } from '../../core/src/testing/fixtures.ts'
import { build, run } from './support/programs.ts'
import { packFolder } from './support/streams.ts'
import { openWrongFiles } from './support/wrong-files.ts'

describe.each(['address,undefined', 'thread'])('-fsanitize=%s finds nothing', (sanitize) => {
  it.each(['transformers/mistral-window', 'transformers/qwen3'])('in steps of %s', async (folder) => {
    const stress = await build({ program: 'stress', sanitize })
    const packed = await packFolder(`${fixturesFolder}${folder}`)
    expect((await run(stress, [packed.backbone])).stdout).toBe('ok\n')
    packed.remove()
  })
})

it('-fsanitize=address,undefined finds nothing in other wrong files', () => openWrongFiles('address,undefined', 1))
