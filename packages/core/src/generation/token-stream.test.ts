import { expect, it } from 'vitest'
import { channel } from './token-stream.ts'

async function read<T>(stream: AsyncIterable<T>): Promise<T[]> {
  const items: T[] = []
  for await (const item of stream) items.push(item)
  return items
}
const soon = () => new Promise((resolve) => setTimeout(resolve))

it('gives items in order, whether they come before the reader or after', async () => {
  const stream = channel<number>(3)
  stream.push(1)
  stream.push(2)
  const found = read(stream)
  await soon()
  stream.push(3)
  await soon()
  stream.push(4)
  stream.end()
  expect(await found).toEqual([1, 2, 3, 4])
})

it('gives what came before a failure, then the failure, undefined included', async () => {
  for (const error of [new Error('broken'), undefined]) {
    const stream = channel<number>(2)
    stream.push(1)
    stream.fail(error)
    stream.end()
    const reader = stream[Symbol.asyncIterator]()
    expect(await reader.next()).toEqual({ done: false, value: 1 })
    await expect(reader.next()).rejects.toBe(error)
  }
})

it('holds no more than its capacity: items merge into the last one', async () => {
  const stream = channel<number[]>(2, (a, b) => [...a, ...b])
  for (let i = 1; i <= 6; i++) stream.push([i])
  stream.end()
  expect(await read(stream)).toEqual([[1], [2, 3, 4, 5, 6]])
})

it('refuses an item beyond its capacity where items do not merge', () => {
  const stream = channel<number>(1)
  stream.push(1)
  expect(() => stream.push(2)).toThrow('no room for another')
})

it('says when there is room', async () => {
  const stream = channel<number>(1)
  expect(stream.room()).toBeUndefined()
  stream.push(1)
  let roomy = false
  const waited = stream.room()!.then(() => {
    roomy = true
  })
  await soon()
  expect(roomy).toBe(false)
  const reader = stream[Symbol.asyncIterator]()
  expect((await reader.next()).value).toBe(1)
  await waited
  expect(stream.room()).toBeUndefined()
})

it('lets the producer go when the reader leaves, and keeps nothing of what comes later', async () => {
  const stream = channel<number>(1)
  stream.push(1)
  for await (const _ of stream) {
    stream.push(2)
    const waited = stream.room()
    expect(waited).toBeDefined()
    void waited!.then(() => stream.push(3))
    break
  }
  await soon()
  expect(stream.room()).toBeUndefined()
  expect(() => Array.from({ length: 3 }, (_, i) => stream.push(i))).not.toThrow()
})
