import { expect, it } from 'vitest'
import { Recent } from './recent.ts'

function recent(entries: number, bytes: number) {
  const dropped: string[] = []
  const all = new Recent<{ name: string; bytes: number }>({
    ...{ entries, bytes, bytesOf: (value) => value.bytes },
    dropped: ({ name }) => void dropped.push(name),
  })
  return { all, dropped, add: (name: string, bytes: number) => all.set(name, { name, bytes }) }
}

it('keeps what was used last, and tells of what goes', () => {
  const { all, dropped, add } = recent(2, 1000)
  add('a', 1)
  add('b', 1)
  all.get('a')
  add('c', 1)
  expect(dropped).toEqual(['b'])
  expect([all.get('a')?.name, all.get('b'), all.get('c')?.name]).toEqual(['a', undefined, 'c'])
})

it('is bounded in bytes, of texts and of values, which may grow while they are kept', () => {
  const { all, dropped, add } = recent(10, 100)
  add('a', 40)
  add('b', 40)
  expect(all.bytes).toBe(84)
  all.get('a')!.bytes = 60
  add('c', 10)
  expect(dropped).toEqual(['b'])
  add('long'.repeat(10), 0)
  expect(dropped).toEqual(['b', 'a'])
  // What was used last stays, whatever it takes.
  add('d', 500)
  expect(all.bytes).toBe(502)
})
