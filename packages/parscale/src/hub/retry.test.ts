import { hubError } from '@parscale/core/internal'
import { expect, test } from 'vitest'
import { retryAfterMs, retrying, TransientFailure } from './retry.ts'

const policy = { attempts: 3, firstDelayMs: 1, stallMs: 1000 }
const busy = (delayMs?: number) => new TransientFailure(hubError('busy'), delayMs)

function failing(times: number, failure: unknown = busy()) {
  let calls = 0
  const attempt = async () => {
    if (++calls <= times) throw failure
    return calls
  }
  return { attempt, calls: () => calls }
}

test('tries again until it works, or until the tries are used up', async () => {
  expect(await retrying(policy, undefined, failing(2).attempt)).toBe(3)
  const hopeless = failing(9)
  await expect(retrying(policy, undefined, hopeless.attempt)).rejects.toMatchObject({ kind: 'hub', message: 'busy' })
  expect(hopeless.calls()).toBe(3)
})

test('progress gives new tries', async () => {
  expect(await retrying(policy, undefined, failing(9).attempt, () => true)).toBe(10)
})

test('other errors are not tried again', async () => {
  const broken = failing(9, new RangeError('mine'))
  await expect(retrying(policy, undefined, broken.attempt)).rejects.toThrow(RangeError)
  expect(broken.calls()).toBe(1)
})

test('an abort ends the wait', async () => {
  const interrupt = new AbortController()
  const waiting = retrying({ ...policy, firstDelayMs: 100_000 }, interrupt.signal, failing(9).attempt)
  interrupt.abort()
  await expect(waiting).rejects.toThrow(expect.objectContaining({ name: 'AbortError' }))
})

test('Retry-After is seconds or a date', () => {
  const now = Date.parse('2026-01-01T00:00:00Z')
  expect(retryAfterMs('7', now)).toBe(7000)
  expect(retryAfterMs('Thu, 01 Jan 2026 00:00:09 GMT', now)).toBe(9000)
  expect(retryAfterMs('Thu, 01 Jan 2015 00:00:09 GMT', now)).toBe(0)
  expect(retryAfterMs('soon', now)).toBeUndefined()
  expect(retryAfterMs(null, now)).toBeUndefined()
})
