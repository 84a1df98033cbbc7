/** Some hundreds of hostile requests against a server process: it answers as its OpenAPI says, and nobody else waits. */
import { expect, it } from 'vitest'
import { sendHostile } from './testing/hostile/run.ts'
import { startTarget } from './testing/hostile/target.ts'

it('stays up, answers as declared and holds its event loop for none of them', { timeout: 120_000 }, async () => {
  const server = await startTarget()
  try {
    const { faults, loopDelay } = await sendHostile(server, { seed: 1, count: 300 })
    expect(faults).toEqual([])
    expect(loopDelay).toBeLessThan(0.25)
    await expect.poll(() => server.metric('parscale_rows_in_use'), { timeout: 10_000 }).toBe(0)
    expect(server.output.stderr).not.toMatch(/Error|Warning/)
  } finally {
    await server.stop()
  }
})
