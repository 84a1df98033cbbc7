/** What `parscale bench` found, as tables and charts. */
import { type Chart, publishedFits, type Series } from '@parscale/core/internal/law'
import type { Row } from '../bench/rows.ts'
import type { BenchResult } from '../bench/run-bench.ts'
import { bytesText, percentText, significant, textTable } from '../terminal/text-table.ts'

type Key = 'model' | 'bits' | 'engine' | 'threads' | 'p' | 'kv' | 'batch' | 'context'
/** What may tell rows from each other, in the order of their columns. P is always shown. */
const keys: readonly Key[] = ['model', 'engine', 'threads', 'bits', 'kv', 'context', 'batch', 'p']

export function benchText({ machine, rows, ratios, rounds, steps }: BenchResult, width?: number): string {
  const { device } = machine
  const shown = keys.filter((key) => key === 'p' || new Set(rows.map((row) => row[key])).size > 1)
  const fixed = keys.filter((key) => !shown.includes(key))
  const [first] = rows
  const names = (row: Pick<Row, Key>) => shown.map((key) => String(row[key] ?? 'auto'))
  const heads = shown.map((key) => (key === 'p' ? 'P' : key))
  const share = (value: number | null | undefined) => (value == null ? '-' : percentText(Number(value.toPrecision(2))))
  return [
    `${machine.cpu}, ${machine.cores} cores, load ${significant(machine.loadBefore, 2)} before and ${significant(machine.loadAfter, 2)} after\n`,
    device &&
      `reads ${significant(device.bytesPerSecond / 1e9, 3)} GB/s; products: ${significant(device.flopsPerSecond / 1e9, 3)} GFLOP/s in float32, ${significant((device.int8OpsPerSecond ?? device.flopsPerSecond) / 1e9, 3)} Gop/s with 8-bit weights\n`,
    `${fixed.map((key) => `${key} ${first?.[key] ?? 'auto'}`).join(', ')}; medians of ${rounds} round(s) of ${steps} tokens\n\n`,
    textTable(
      [
        [...heads, 'ms a token', 'quartiles', 'limit', 'reached', 'bandwidth', 'tokens/s'],
        ...rows.map((row) => [
          ...names(row),
          row.msPerToken.toFixed(1),
          `${row.msPerTokenSpread.lowerQuartile.toFixed(1)}-${row.msPerTokenSpread.upperQuartile.toFixed(1)}`,
          row.limit?.msPerToken.toFixed(1) ?? '-',
          share(row.limitShare?.decode),
          share(row.bandwidthShare),
          significant(row.tokensPerSecond, 3),
        ]),
      ],
      { width, keys: heads.length },
    ),
    '\n',
    textTable(
      [
        [...heads, 'prefill tokens/s', 'limit', 'reached', 'load', 'peak memory', 'weights', 'cache', 'allowed', 'bound'],
        ...rows.map((row) => [
          ...names(row),
          significant(row.prefillTokensPerSecond, 3),
          row.limit ? significant(row.limit.prefillTokensPerSecond, 3) : '-',
          share(row.limitShare?.prefill),
          `${(row.loadMs / 1000).toFixed(2)} s`,
          bytesText(row.peakMemoryBytes),
          bytesText(row.weightBytes),
          bytesText(row.cacheBytes),
          bytesText(row.allowedMemoryBytes),
          row.peakMemoryBytes <= row.allowedMemoryBytes ? 'kept' : 'EXCEEDED',
        ]),
      ],
      { width, keys: heads.length },
    ),
    ...(ratios.length === 0 ? [] : ['\n']),
    ...ratios.map((ratio) => {
      const where = shown.filter((key) => key !== 'p').map((key) => `${key} ${ratio[key] ?? 'auto'}, `)
      return `${where.join('')}P = ${ratio.p} takes ${ratio.ratio.toFixed(2)} times as long as P = ${ratio.against} (rounds: ${ratio.low.toFixed(2)} to ${ratio.high.toFixed(2)})\n`
    }),
    ...[...new Set(ratios.filter(({ against }) => against === 1).map(({ p }) => p))].map(worthText),
  ].join('')
}

/** What the time is paid for: k ln P + 1 times the parameters, with the k of the paper's two corpora. */
function worthText(P: number): string {
  const worth = Object.values(publishedFits).map(({ k }) => k * Math.log(P) + 1)
  const [least, most] = [Math.min(...worth), Math.max(...worth)].map((times) => times.toFixed(2))
  return `P = ${P} is worth ${least} to ${most} times the parameters by the paper's law\n`
}

/** Time of a token and peak memory over P, or over whatever else varies; a line for each combination of the rest. */
export function benchCharts(rows: readonly Row[]): Chart[] {
  const varying = keys.filter((key) => new Set(rows.map((row) => row[key])).size > 1)
  const numeric = (['p', 'context', 'batch', 'threads', 'bits'] as const).find((key) => varying.includes(key)) ?? 'p'
  const groups = new Map<string, Row[]>()
  for (const row of rows) {
    const name = varying
      .filter((key) => key !== numeric)
      .map((key) => `${key} ${row[key] ?? 'auto'}`)
      .join(', ')
    groups.set(name, [...(groups.get(name) ?? []), row])
  }
  const chart = (
    title: string,
    label: string,
    limitName: string,
    value: (row: Row) => number,
    limit: (row: Row) => number | undefined,
  ): Chart => ({
    title,
    x: { label: numeric === 'p' ? 'P' : numeric, scale: 'log', ticks: [...new Set(rows.map((row) => Number(row[numeric])))] },
    y: { label, scale: 'linear', fromZero: true },
    series: [...groups].flatMap(([name, group], color): Series[] => {
      const sorted = group.toSorted((a, b) => Number(a[numeric]) - Number(b[numeric]))
      const points = (of: (row: Row) => number | undefined) =>
        sorted.flatMap((row) => {
          const y = of(row)
          return y === undefined ? [] : [[Number(row[numeric]), y] as const]
        })
      const [measured, allowed] = [points(value), points(limit)]
      return [
        { name: name || 'measured', color, line: measured, dots: measured },
        ...(allowed.length > 0 ? [{ name: limitName, color, dash: 1, line: allowed }] : []),
      ]
    }),
    legend: [
      ...[...groups.keys()].map((name, color) => ({ name: name || 'measured', color, mark: 'line' }) as const),
      ...(rows.some((row) => limit(row) !== undefined)
        ? [{ name: limitName, dash: 1, mark: 'line', background: true } as const]
        : []),
    ],
  })
  return [
    chart(
      'Decoding',
      'ms a token',
      'what the machine allows',
      (row) => row.msPerToken,
      (row) => row.limit?.msPerToken,
    ),
    chart(
      'Peak memory',
      'GB',
      'weights and cache',
      (row) => row.peakMemoryBytes / 1e9,
      (row) => (row.weightBytes + row.cacheBytes) / 1e9,
    ),
  ]
}
