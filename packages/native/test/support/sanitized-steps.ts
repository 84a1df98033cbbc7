/** The step without Node under one of the compiler's sanitizers, for files of tests that take minutes each. */
import { expect, it } from 'vitest'
import { fixturesFolder } from '../../../core/src/testing/fixtures.ts'
import { build, run } from './programs.ts'
import { packFolder } from './streams.ts'

/** @param sanitize what goes behind `-fsanitize=` */
export const sanitizedSteps = (sanitize: string): void =>
  it.each(['transformers/mistral-window', 'transformers/qwen3'])(
    `-fsanitize=${sanitize} finds nothing in steps of %s`,
    async (folder) => {
      const stress = await build({ program: 'stress', sanitize })
      const packed = await packFolder(`${fixturesFolder}${folder}`)
      expect((await run(stress, [packed.backbone])).stdout).toBe('ok\n')
      packed.remove()
    },
  )
