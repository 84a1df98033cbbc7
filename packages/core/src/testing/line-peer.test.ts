/** Against real processes. */
import process from 'node:process'
import { expect, it } from 'vitest'
import { answersOfEach, openLinePeer } from './line-peer.ts'

const echo = `
require('node:readline').createInterface({ input: process.stdin }).on('line', (line) => {
  const { n } = JSON.parse(line)
  if (n === 2) while (true);
  if (n === 9) process.exit(1)
  console.log(JSON.stringify({ n, pid: process.pid }))
})`

it('kills a peer that hangs, counts that request apart and asks a new one the rest', async () => {
  // A peer that answers does so in a millisecond.
  const peer = openLinePeer(process.execPath, ['-e', echo], { timeoutMs: 5_000 })
  const answers = (await answersOfEach(
    peer,
    [1, 2, 3, 4].map((n) => ({ n })),
  )) as ({ n: number; pid: number } | undefined)[]
  expect(answers.map((answer) => answer?.n)).toEqual([1, undefined, 3, 4])
  expect(answers[2]!.pid).not.toBe(answers[0]!.pid)
  expect(() => process.kill(answers[0]!.pid, 0)).toThrow('ESRCH')
  expect(await peer.exchange([{ n: 1 }, { n: 2 }, { n: 3 }])).toHaveLength(1)
  await expect(peer.exchange([{ n: 9 }])).rejects.toThrow('ended')
  peer.close()
})
