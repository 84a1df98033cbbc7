import { describe, expect, test } from 'vitest'
import { bootstrap } from '../bootstrap.ts'
import { fitLaw } from '../fit.ts'
import { laws, lossAt } from '../laws.ts'
import { publishedPoints } from '../published.ts'
import { type Chart, scalesOf } from './chart.ts'
import { contourChart, fitChart, residualChart } from './fit.ts'
import { renderSvg } from './svg.ts'
import { renderTerminal } from './terminal.ts'

const fit = fitLaw(laws.log, publishedPoints('pile'))

describe('charts of a fit', () => {
  const thetas = bootstrap(fit, { count: 20, seed: 1 })

  test('a curve, a band and six dots for each P; the curve is the law', () => {
    const { series } = fitChart(fit, thetas)
    expect(series.map(({ name }) => name)).toEqual(['P = 1', 'P = 2', 'P = 4', 'P = 8'])
    for (const [i, { line, dots, band }] of series.entries()) {
      expect(dots!.length).toBe(6)
      for (const [N, y] of line!) expect(y).toBeCloseTo(lossAt(fit.law, fit.theta, { N, P: 2 ** i }), 12)
      for (const [j, [, low, high]] of band!.entries()) {
        expect(low).toBeLessThanOrEqual(high)
        expect(Math.abs(line![j]![1] - (low + high) / 2)).toBeLessThan(0.02)
      }
    }
  })

  test('contours: the loss is the same all along a line', () => {
    const lines = contourChart(fit).series.filter(({ line }) => line !== undefined)
    expect(lines.length).toBeGreaterThan(5)
    for (const { name, line } of lines)
      for (const [N, P] of line!) expect(lossAt(fit.law, fit.theta, { N, P }).toFixed(3)).toBe(name)
  })

  test('residuals of all points', () => {
    const dots = residualChart(fit).series.flatMap(({ dots = [] }) => dots)
    expect(dots.map(([, error]) => error).sort()).toEqual(fit.residuals.map(({ error }) => error).sort())
  })
})

describe('drawing', () => {
  const chart: Chart = {
    title: 'a < b & c',
    x: { label: 'x', scale: 'log' },
    y: { label: 'y', scale: 'linear' },
    series: [
      {
        name: 's',
        line: [
          [1, 0],
          [100, 1],
        ],
        dots: [
          [1, 0],
          [10, 0.5],
          [100, 1],
        ],
        band: [
          [1, 0, 0.1],
          [100, 0.9, 1],
        ],
      },
    ],
  }

  test('ticks are round and inside; place and at are inverse', () => {
    const { x, y } = scalesOf(chart)
    expect(x.ticks).toEqual([1, 2, 5, 10, 20, 50, 100])
    expect(y.ticks).toEqual([0, 0.2, 0.4, 0.6, 0.8, 1])
    expect(x.place(10)).toBeCloseTo(0.5, 12)
    expect(x.at(x.place(7))).toBeCloseTo(7, 12)
  })

  test('few round values: finer ticks; linear labels have the same decimals; an axis may bring its own', () => {
    const line: [number, number][] = [
      [536e6, 0.98],
      [4.4e9, 1.17],
    ]
    const axes = { ...chart, series: [{ name: 's', line }] }
    const { x, y } = scalesOf(axes)
    expect(x.ticks.map(x.label)).toEqual(['500M', '700M', '1B', '1.5B', '2B', '3B'])
    expect(y.ticks.map(y.label)).toEqual(['1.00', '1.05', '1.10', '1.15'])
    expect(scalesOf({ ...axes, y: { ...chart.y, ticks: [1, 1.1] } }).y.ticks).toEqual([1, 1.1])
  })

  test('panels side by side; a background series is grey and not in the legend', () => {
    const svg = renderSvg(
      [{ ...chart, series: [{ name: 'behind', line: [[1, 1]], background: true }, ...chart.series] }, chart],
      2,
    )
    expect(svg).toContain('width="1440" height="440"')
    expect(svg).toContain('translate(720 0)')
    expect(svg).toContain('stroke="#999999"')
    expect(svg).not.toContain('behind')
  })

  test('SVG: well-formed, escaped, dots where they belong', () => {
    const svg = renderSvg([chart, chart])
    expect(svg).toContain('<svg xmlns="http://www.w3.org/2000/svg" width="720" height="880"')
    expect(svg).toContain('a &lt; b &amp; c')
    expect(svg).not.toMatch(/NaN|undefined|Infinity/)
    // A small well-formedness check: tags close in order.
    const open: string[] = []
    for (const [, slash, name, self] of svg.matchAll(/<(\/?)([a-z]+)[^>]*?(\/?)>/g)) {
      if (slash) expect(open.pop()).toBe(name)
      else if (!self) open.push(name!)
    }
    expect(open).toEqual([])
    const circles = [...svg.matchAll(/<circle cx="([\d.]+)" cy="([\d.]+)" r="3.5"/g)].map(([, cx, cy]) => [
      Number(cx),
      Number(cy),
    ])
    const [first, middle, last] = circles as [[number, number], [number, number], [number, number]]
    expect(middle[0]).toBeCloseTo((first[0] + last[0]) / 2, 1)
    expect(first[1]).toBeGreaterThan(last[1]) // y grows downwards
  })

  test('terminal', () => {
    expect(renderTerminal(chart, 40, 7)).toMatchInlineSnapshot(`
      "a < b & c: y against x
       1.0 |                                o
       0.8 |
       0.6 |
           |                 o
       0.4 |
       0.2 |
       0.0 | o
           +----------------------------------
             1    2     5   10  20    50   100
            o s
      "
    `)
  })
})
