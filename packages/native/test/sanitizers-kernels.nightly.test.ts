/** All kernels under AddressSanitizer. */
import { expect, it } from 'vitest'
import { build, run } from './support/programs.ts'

it('-fsanitize=address,undefined finds nothing in any kernel', async () => {
  expect((await run(await build({ program: 'kernels', sanitize: 'address,undefined' }))).stdout).toMatch(/\nok\n$/)
})
