import { describe, expect, test } from 'vitest'
import { bootstrap } from '../bootstrap.ts'
import { fitLaw } from '../fit.ts'
import { laws, lossAt } from '../laws.ts'
import { publishedPoints } from '../published.ts'
import { type Chart, scalesOf } from './chart.ts'
import { contourChart, fitChart, residualChart } from './fit.ts'
import { renderSvg } from './svg.ts'
import { grey, palette } from './svg-series.ts'
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

  test('panels side by side; a background series is grey and named like the others', () => {
    const svg = renderSvg(
      [{ ...chart, series: [{ name: 'behind', line: [[1, 1]], background: true }, ...chart.series] }, chart],
      2,
    )
    expect(svg).toContain('width="1440" height="440"')
    expect(svg).toContain('translate(720 0)')
    expect(svg).toContain(`stroke="${grey}"`)
    expect(svg).toContain('>behind</text>')
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
    const circles = [...svg.matchAll(/<circle cx="([\d.]+)" cy="([\d.]+)" r="3.7"/g)].map(([, cx, cy]) => [
      Number(cx),
      Number(cy),
    ])
    const [first, middle, last] = circles as [[number, number], [number, number], [number, number]]
    expect(middle[0]).toBeCloseTo((first[0] + last[0]) / 2, 1)
    expect(first[1]).toBeGreaterThan(last[1]) // y grows downwards
  })

  test('bars stand on 0, beside each other, within their slot', () => {
    const bars = (heights: number[]) => heights.map((height, i) => [i + 1, height] as const)
    const series = [
      { name: 'a', bars: bars([3, 1, 2]) },
      { name: 'b', bars: bars([2, 2, 4]) },
    ]
    const svg = renderSvg([{ ...chart, x: { ...chart.x, scale: 'linear' }, series }])
    const boxes = [...svg.matchAll(/<rect x="([\d.]+)" y="([\d.]+)" width="([\d.]+)" height="([\d.]+)" fill="(#\w+)"/g)].map(
      ([, ...numbers]) => numbers.slice(0, 4).map(Number),
    ) as [number, number, number, number][]
    const standing = boxes.slice(0, 6)
    for (const [, top, , height] of standing) expect(top + height).toBeCloseTo(384, 1)
    const [a1, , , b1] = standing
    expect(a1![0] + a1![2]).toBeCloseTo(b1![0], 1)
    expect(a1![3] / b1![3]).toBeCloseTo(3 / 2, 2)
    expect(standing.map(([x]) => x).toSorted((x, y) => x - y)).toHaveLength(new Set(standing.map(([x]) => x)).size)
  })

  test('a note stands at its point; equal names are one line of the legend, which may be given', () => {
    const twice = [...chart.series, { ...chart.series[0]!, color: 3 }]
    const notes = [{ at: [10, 0.5] as const, text: 'the best' }]
    const svg = renderSvg([{ ...chart, series: twice, notes }])
    expect(svg.match(/>s<\/text>/g)).toHaveLength(1)
    expect(svg).toMatch(/<circle cx="323" cy="214" r="7".*the best/)
    const given = renderSvg([{ ...chart, legend: [{ name: 'mine', mark: 'line', dash: 1 }] }])
    expect(given).toContain('>mine</text>')
    expect(given).not.toContain('>s</text>')
  })

  // G. Machado, M. Oliveira, L. Fernandes (2009): what protanopes and deuteranopes see of linear RGB.
  const seen = {
    everyone: [1, 0, 0, 0, 1, 0, 0, 0, 1],
    protanopes: [0.152286, 1.052583, -0.204868, 0.114503, 0.786281, 0.099216, -0.003882, -0.048116, 1.051998],
    deuteranopes: [0.367322, 0.860646, -0.227968, 0.280085, 0.672501, 0.047413, -0.01182, 0.04294, 0.968881],
  }
  test.each(Object.entries(seen))('the colours differ to %s', (_, matrix) => {
    const labs = [...palette, grey].map((color) => lab(linearRgb(color), matrix))
    for (const [i, a] of labs.entries())
      for (const [j, b] of labs.entries())
        if (i < j) expect(Math.hypot(...a.map((value, k) => value - b[k]!)), `${i} and ${j}`).toBeGreaterThan(15)
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

const linearRgb = (hex: string) =>
  [1, 3, 5].map((at) => {
    const value = Number.parseInt(hex.slice(at, at + 2), 16) / 255
    return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4
  })

/** CIE L*a*b* under D65 of what somebody with such eyes sees. */
function lab(rgb: readonly number[], eyes: readonly number[]): [number, number, number] {
  const times = (matrix: readonly number[], v: readonly number[]) =>
    [0, 3, 6].map((row) => v.reduce((sum, value, i) => sum + matrix[row + i]! * value, 0))
  const visible = times(eyes, rgb).map((value) => Math.min(1, Math.max(0, value)))
  const xyz = times([0.4124, 0.3576, 0.1805, 0.2126, 0.7152, 0.0722, 0.0193, 0.1192, 0.9505], visible)
  const [x, y, z] = xyz.map((value, i) => Math.cbrt(value / [0.9505, 1, 1.089][i]!) as number) as [number, number, number]
  return [116 * y - 16, 500 * (x - y), 200 * (y - z)]
}
