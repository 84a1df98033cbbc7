import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { isParscaleError } from '../errors.ts'
import { parsePoints } from './data.ts'

const parse = (text: string) => parsePoints(text, 'data.csv')

describe('reads', () => {
  test('CSV in any order and case, with comments, a byte order mark and Windows line ends', () => {
    expect(parse('\uFEFFloss,n,p,note\r\n# seed 1\r\n1.17,5.4e8,1,x\r\n\r\n"1.15", 538195842 ,2,\r\n')).toEqual([
      { N: 5.4e8, P: 1, loss: 1.17 },
      { N: 538195842, P: 2, loss: 1.15 },
    ])
  })

  test('D and weight where given', () => {
    expect(parse('N,P,loss,D,weight\n1e9,1,1.5,4e10,2\n1e9,1,1.4,8e10,')).toEqual([
      { N: 1e9, P: 1, loss: 1.5, D: 4e10, weight: 2 },
      { N: 1e9, P: 1, loss: 1.4, D: 8e10 },
    ])
  })

  test('JSON as an array or under points', () => {
    const points = [{ N: 1e9, P: 2, loss: 1.1 }]
    expect(parse(JSON.stringify(points))).toEqual(points)
    expect(parse(JSON.stringify({ points }))).toEqual(points)
  })
})

describe('refuses, with the place', () => {
  test.each([
    ['', 'data.csv: is empty'],
    ['# only a comment', 'has no header'],
    ['N,P,loss', 'has a header but no points'],
    ['N,P\n1,1', "line 1: no column 'loss'"],
    ['N,P,loss,n\n1,1,1,1', "line 1, column 4: 'N' is there twice"],
    ['N,P,loss\n1e9,1', 'line 2: expected 3 columns as in the header, found 2'],
    ['N,P,loss\n1e9,1,1.2\n1e9,2,abc', 'line 3, column 3 (loss): expected a number greater than 0, found "abc"'],
    ['N,P,loss\n1e9,1,-1', 'line 2, column 3 (loss): expected a number greater than 0, found "-1"'],
    ['N,P,loss\n0,1,1', 'line 2, column 1 (N): expected a number greater than 0'],
    ['N,P,loss\n1e999,1,1', 'column 1 (N)'],
    ['N,P,loss\n0x10,1,1', 'column 1 (N)'],
    ['N,P,loss\n1e9,1.5,1', 'column 2 (P): expected a whole number of streams, found 1.5'],
    ['N,P,loss\n1e9,,1', 'line 2, column 2 (P): is missing'],
    ['N,P,loss,weight\n1e9,1,1,0', 'column 4 (weight)'],
    ['N,P,loss\n1e9,1,1.2\n1e9,2,1.1\n1e9,1,1.2', 'line 4: repeats N = 1000000000, P = 1 of line 2'],
    ['[1, 2', 'is not valid JSON'],
    ['{"a": 1}', "an object with an array 'points'"],
    ['[3]', 'point 1: expected an object'],
    ['[{"N": 1, "P": 1, "loss": null}]', "point 1, 'loss': is missing"],
    ['[{"N": 1, "P": 1, "loss": [1]}]', "point 1, 'loss': expected a number greater than 0, found a list"],
  ])('%j', (text, message) => {
    expect(() => parse(text)).toThrow(message)
  })
})

test('any text gives points or a usage error', () => {
  const cell = fc.oneof(fc.constantFrom('N', 'P', 'loss', 'D', '1e9', '2', '-1', '"', '{', '['), fc.string({ maxLength: 5 }))
  const csv = fc
    .array(fc.array(cell, { maxLength: 5 }), { maxLength: 6 })
    .map((rows) => rows.map((row) => row.join(',')).join('\n'))
  fc.assert(
    fc.property(fc.oneof(csv, fc.json(), fc.string()), (text) => {
      try {
        for (const { N, P, loss } of parse(text)) expect(Math.min(N, P, loss)).toBeGreaterThan(0)
      } catch (error) {
        expect(isParscaleError(error) && error.kind).toBe('usage')
      }
    }),
    { numRuns: 3000 },
  )
})
