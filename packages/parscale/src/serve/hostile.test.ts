/** Some hundreds of hostile requests against a server process: it stays up, and answers as its OpenAPI says. */
import { expect, it } from 'vitest'
import { sendHostile } from './testing/hostile/run.ts'
import { startTarget } from './testing/hostile/target.ts'

it('stays up, and answers as declared', async () => {
  const server = await startTarget()
  try {
    const { faults } = await sendHostile(server, { seed: 1, count: 300 })
    expect(faults).toEqual([])
    await expect.poll(() => server.metric('parscale_rows_in_use')).toBe(0)
    expect(server.output.stderr).not.toMatch(/Error|Warning/)
  } finally {
    await server.stop()
  }
})
