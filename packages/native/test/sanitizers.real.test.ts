/** The kernels and the loader of packed files under the compiler's sanitizers; whole steps in sanitizers.nightly.test.ts. */
import { describe, expect, it } from 'vitest'
import { build, run } from './support/programs.ts'
import { openWrongFiles } from './support/wrong-files.ts'

describe('-fsanitize=address,undefined finds nothing', () => {
  const sanitize = 'address,undefined'

  it('in any kernel', async () => {
    expect((await run(await build({ program: 'kernels', sanitize }))).stdout).toMatch(/\nok\n$/)
  })

  it('in packed files that are wrong', () => openWrongFiles(sanitize, 2))
})
