import { expect, it } from 'vitest'
import { textTable } from './text-table.ts'

const rows = [
  ['name', 'P', 'purpose', 'memory'],
  ['ParScale-1.8B', '8', 'a base model for many uses', '1.874 GiB'],
  ['ParScale-3B', '1', 'scaling law', '512.0 MiB'],
]
const widest = (text: string) => Math.max(...text.split('\n').map(({ length }) => length))

it('is as wide as it gets where there is no width', () => {
  expect(textTable(rows)).toBe(
    [
      'name           P  purpose                        memory',
      'ParScale-1.8B  8  a base model for many uses  1.874 GiB',
      'ParScale-3B    1  scaling law                 512.0 MiB',
      '',
    ].join('\n'),
  )
})

it('leaves out columns in the order given, only as many as it must', () => {
  expect(textTable(rows, { width: 40, drop: ['purpose', 'P'] })).toBe(
    'name           P     memory\nParScale-1.8B  8  1.874 GiB\nParScale-3B    1  512.0 MiB\n',
  )
})

it('wraps text at words before it moves columns below', () => {
  expect(textTable(rows, { width: 46 })).toBe(
    [
      'name           P  purpose               memory',
      'ParScale-1.8B  8  a base model for   1.874 GiB',
      '                  many uses',
      'ParScale-3B    1  scaling law        512.0 MiB',
      '',
    ].join('\n'),
  )
})

it('moves what has no room into a table below, beside the first column', () => {
  const numbers = [['', '1', '2', '3'], ...[1, 2].map((i) => [`stream ${i}`, '0.1234', '0.2345', '0.3456'])]
  expect(textTable(numbers, { width: 26 })).toBe(
    [
      '               1       2',
      'stream 1  0.1234  0.2345',
      'stream 2  0.1234  0.2345',
      '',
      '               3',
      'stream 1  0.3456',
      'stream 2  0.3456',
      '',
    ].join('\n'),
  )
})

it('keeps every number whole, at any width that has room for the longest', () => {
  const cells = Array.from({ length: 12 }, (_, i) => (1000 + i * 137.25).toFixed(3))
  const table = [
    ['what', ...cells.map((_, i) => `column ${i}`)],
    ['a row with a long name of many words', ...cells],
  ]
  for (let width = 24; width < 200; width++) {
    const text = textTable(table, { width })
    expect(widest(text)).toBeLessThanOrEqual(width)
    for (const cell of cells) expect(text).toContain(cell)
  }
})
