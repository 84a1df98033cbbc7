/** What a request leaves behind. */
import { expect, it } from 'vitest'
import { gatherLines } from './request-log.ts'

const turn = () => new Promise((resolve) => setImmediate(resolve))

it('writes the lines of one turn at once, all of them, in their order', async () => {
  const written: string[] = []
  const { log, flush } = gatherLines((text) => written.push(text))
  log('a\n')
  await Promise.resolve()
  log('b\n')
  expect(written).toEqual([])
  await turn()
  log('c\n')
  await turn()
  expect(written).toEqual(['a\nb\n', 'c\n'])
  // The end of a process does not wait for a turn.
  log('d\n')
  flush()
  await turn()
  expect(written).toEqual(['a\nb\n', 'c\n', 'd\n'])
})
