import { expect, it } from 'vitest'
import { axisOf, cellsOf, runOf } from './plan.ts'

it('makes the product of the axes, the last one fastest', () => {
  const cells = cellsOf([axisOf('p', [1, 2]), axisOf('learning-rate', [0.1, 0.01])])
  expect(cells.map(({ name }) => name)).toEqual([
    '1-p-1-learning-rate-0.1',
    '2-p-1-learning-rate-0.01',
    '3-p-2-learning-rate-0.1',
    '4-p-2-learning-rate-0.01',
  ])
  expect(cells[3]!.keys).toEqual({ p: 2, 'learning-rate': 0.01 })
  expect(runOf(cells, 3, 7)).toEqual({ name: '4-p-2-learning-rate-0.01-seed-7', cell: 3, seed: 7 })
  expect(cellsOf([])).toEqual([{ name: '1', axes: {}, keys: {} }])
})

it('sets several keys at once, with or without a label', () => {
  const named = axisOf('size', { small: { layers: 1, heads: 2 }, large: { layers: 2, heads: 4 } })
  expect(cellsOf([named]).map(({ axes, keys }) => [axes, keys])).toEqual([
    [{ size: 'small' }, { layers: 1, heads: 2 }],
    [{ size: 'large' }, { layers: 2, heads: 4 }],
  ])
  expect(cellsOf([axisOf('size', [{ layers: 1, heads: 2 }])])[0]).toMatchObject({
    name: '1-size-layers-1-heads-2',
    axes: { size: 'layers=1 heads=2' },
  })
})

it('keeps names that every file system takes, and cells that a table takes', () => {
  const cells = cellsOf([axisOf('data', [['a,b.txt', '../../etc/"x"'], 'x'.repeat(200)])])
  for (const { name } of cells) expect(name).toMatch(/^[\w.-]{1,80}$/)
  expect(new Set(cells.map(({ name }) => name)).size).toBe(2)
  expect(cells[0]!.axes.data).toBe('a b.txt ../../etc/ x')
})
