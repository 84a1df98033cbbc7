/** fit, predict, cost and plan as users and scripts meet them: real processes, real files, exit codes. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { parscale } from '../testing/cli.ts'

let folder: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'parscale-law-cli-'))
})
afterAll(() => rmSync(folder, { recursive: true }))

function csv(name: string, content: string): string {
  const file = join(folder, name)
  writeFileSync(file, content)
  return file
}

describe('fit', () => {
  it('--json is one JSON document on stdout, and nothing else is written', async () => {
    const { code, stdout, stderr } = await parscale(['fit', '--dataset', 'pile', '--bootstrap', '40', '--json'])
    expect([code, stderr]).toEqual([0, ''])
    const { params, paper, objective } = JSON.parse(stdout)
    expect(objective).toBeLessThanOrEqual(1.8139315896931924e-5 * (1 + 1e-9)) // fixtures/law/scaling-law.json, exact_optimum
    expect(params.A).toBeCloseTo(197516581, -3)
    expect(paper).toMatchObject({ E: 1.2888, A: 1.974e8, alpha: 0.1963, k: 0.3345 })
    expect(paper.bestWithinDigits.objective / objective).toBeLessThan(1 + 1e-6)
  })

  it('text without colours or control characters, and a PNG of three panels', async () => {
    const picture = join(folder, 'fit.png')
    const args = ['fit', '--dataset', 'stack-v2-python', '--bootstrap', '20', '--plot', picture]
    const { code, stdout, stderr } = await parscale(args, { env: { NO_COLOR: '1', FORCE_COLOR: undefined } })
    expect([code, stderr]).toEqual([0, `drawn into ${picture}\n`])
    expect([...stdout].filter((character) => character < ' ' && character !== '\n')).toEqual([])
    const png = readFileSync(picture)
    expect(png.toString('latin1', 1, 4)).toBe('PNG')
    expect([png.readUInt32BE(16), png.readUInt32BE(20)]).toEqual([1440, 2640]) // width and height: 720 x 3 * 440, doubled
    expect(png.byteLength).toBeGreaterThan(50_000) // an empty picture of this size takes a few kilobytes
  })
})

describe('predict, cost and plan', () => {
  it('predict warns on stderr and answers on stdout', async () => {
    const { code, stdout, stderr } = await parscale(['predict', '--n', '8B', '--p', '16', '--bootstrap', '20', '--json'])
    expect(code).toBe(0)
    expect(stderr.split('\n').filter((line) => line.startsWith('warning: '))).toHaveLength(3)
    expect(JSON.parse(stdout).warnings).toContain('P = 16 is outside the fitted range 1 to 8: extrapolated')
  })

  it("cost --mode reference prints the published script's line", async () => {
    const args = ['cost', '4.4B', '--p', '2', '--batch', '2', '--input', '64', '--output', '64', '--mode', 'reference']
    const { code, stdout, stderr } = await parscale(args)
    expect([code, stderr]).toEqual([0, ''])
    expect(stdout).toContain('Memory: 8.951GB; Latency: 0.354s')
  })

  it("plan --figure 4 has the paper's ratios", async () => {
    const { code, stdout } = await parscale(['plan', '--figure', '4', '--json'])
    const ratios = JSON.parse(stdout).headlines.map(
      ({ memory, latency }: { memory: { ratio: number }; latency: { ratio: number } }) => [
        Math.floor(10 * memory.ratio) / 10,
        Math.floor(10 * latency.ratio) / 10,
      ],
    )
    expect(code).toBe(0)
    expect(ratios).toEqual([
      [22.5, 6.4],
      [12.8, 3.2],
      [6.9, 1.6],
      [3.6, 0.8],
      [7.3, 1.7],
    ])
  })
})

describe('bad input ends with a sentence and exit code 2, and nothing on stdout', () => {
  const cases: [string, () => string[], RegExp][] = [
    [
      'a cell that is no number',
      () => ['fit', csv('cell.csv', 'N,P,loss\n1e9,1,1.2\n1e9,2,x')],
      /cell\.csv, line 3, column 3 \(loss\)/,
    ],
    [
      'one P only',
      () => ['fit', csv('one.csv', 'N,P,loss\n1e9,1,1.2\n2e9,1,1.1\n3e9,1,1\n4e9,1,0.9')],
      /all points have P = 1: k of the log/,
    ],
    ['an unknown device', () => ['cost', '1.6B', '--device', 'abacus'], /'abacus' is not known; choose one of a100-80gb/],
    [
      'an impossible budget',
      () => ['plan', '--memory', '1MB'],
      /no candidate meets the budget .* smallest candidate needs memory 0\.405 GB/,
    ],
  ]

  it.each(cases)('%s', async (_, args, message) => {
    const { code, stdout, stderr } = await parscale(args())
    expect(stderr).toMatch(message)
    expect([code, stdout]).toEqual([2, ''])
  })
})
