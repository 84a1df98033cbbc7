import { expect, test } from 'vitest'
import { z } from 'zod'
import { safeParse } from './safe-parse.ts'

const schema = z.object({ list: z.array(z.int()).min(1).max(9) })

test('what stands for a list and has a length of its own is an issue', () => {
  for (const length of [{ valueOf: 1, toString: 1 }, { toString: null, valueOf: null }, [], '7', 3, 10, null]) {
    const { success, error } = safeParse(schema, JSON.parse(JSON.stringify({ list: { length } })))
    expect(success, JSON.stringify(length)).toBe(false)
    expect(error!.issues[0]!.message).toMatch(/expected/)
  }
  expect(safeParse(schema, { list: [1] }).data).toEqual({ list: [1] })
})
