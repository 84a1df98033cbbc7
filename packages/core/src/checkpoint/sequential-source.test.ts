import { expect, it } from 'vitest'
import { sequentialSources } from './sequential-source.ts'

/** Two parts, the second of half as many bytes, in three uneven pieces. Counts how often it is begun. */
function counted() {
  const all = Uint8Array.from({ length: 100 }, (_, i) => i)
  let begun = 0
  async function* pieces() {
    begun++
    for (const [from, to] of [
      [0, 30],
      [30, 32],
      [32, 100],
    ] as const)
      yield { data: all.slice(from, to), scales: all.slice(from / 2, to / 2) }
  }
  return { ...sequentialSources('made', ['/a'], { data: 100, scales: 50 }, pieces), begun: () => begun }
}

it('makes everything once where parts are read forwards, side by side', async () => {
  const { data, scales, begun } = counted()
  for (let at = 0; at < 100; at += 10) {
    expect([...(await data.read(at, 10))]).toEqual(Array.from({ length: 10 }, (_, i) => at + i))
    expect([...(await scales.read(at / 2, 5))]).toEqual(Array.from({ length: 5 }, (_, i) => at / 2 + i))
  }
  expect(begun()).toBe(1)
})

it('lets go of what makes it once all was made, and is read again all the same', async () => {
  let open = 0
  async function* pieces() {
    open++
    try {
      yield { data: new Uint8Array(4).fill(1), scales: new Uint8Array(2) }
      yield { data: new Uint8Array(4).fill(2), scales: new Uint8Array(2) }
    } finally {
      open--
    }
  }
  const { data, scales } = sequentialSources('made', ['/a'], { data: 8, scales: 4 }, pieces)
  for (let turn = 0; turn < 2; turn++) {
    expect([...(await data.read(0, 4))]).toEqual([1, 1, 1, 1])
    expect(open).toBe(1)
    expect([...(await data.read(4, 4))]).toEqual([2, 2, 2, 2])
    expect(open).toBe(0)
    expect([...(await scales.read(0, 4))]).toEqual([0, 0, 0, 0])
    expect(open).toBe(0)
  }
})

it('begins anew for what was passed, and takes reads at once in turns', async () => {
  const { data, scales, begun } = counted()
  const reads = await Promise.all([data.read(90, 10), data.read(0, 5), scales.read(49, 1), data.read(3, 2)])
  expect(reads.map(([first]) => first)).toEqual([90, 0, 49, 3])
  expect(begun()).toBeGreaterThan(1)
})

it('refuses what lies outside, and goes on after a failure', async () => {
  let fails = true
  async function* pieces() {
    yield { all: new Uint8Array(4) }
    if (fails) throw new Error('broken')
    yield { all: new Uint8Array(4) }
  }
  const { all } = sequentialSources('made', [], { all: 8 }, pieces)
  expect(() => all.read(7, 2)).toThrow(RangeError)
  await expect(all.read(0, 8)).rejects.toThrow('broken')
  fails = false
  expect(await all.read(0, 8)).toEqual(new Uint8Array(8))
})

it('says where what is made ends too early', async () => {
  const { all } = sequentialSources('short', [], { all: 8 }, async function* () {
    yield { all: new Uint8Array(3) }
  })
  await expect(all.read(0, 8)).rejects.toThrow('short: ended at byte 3 of 8')
})
