/** `parscale plan --figure 4`: the paper's cost figure and its headline ratios. */
import {
  figure4Batches,
  figure4Points,
  figure4Streams,
  type Headline,
  headline,
  type MeanCost,
} from '@parscale/core/internal/cost'
import { type Chart, publishedPoints } from '@parscale/core/internal/law'
import { type Io, report } from '../terminal/io.ts'
import { drawInFile } from '../terminal/plots.ts'
import { textTable } from '../terminal/text-table.ts'

export async function showFigure4(io: Io, { json, plot }: { readonly json?: true; readonly plot?: string }): Promise<void> {
  const rows = [
    ...figure4Batches.map((batch) => ({ batches: [batch], ...headline([batch]) })),
    { batches: [...figure4Batches], ...headline(figure4Batches) },
  ]
  const points = figure4Points()
  if (plot !== undefined) await drawInFile(io, plot, figure4Charts(points), 2)
  if (json) {
    io.stdout(`${JSON.stringify({ headlines: rows, points }, null, 2)}\n`)
    return
  }
  const name = (batches: readonly number[]) =>
    batches.length === 1 ? `batch ${batches[0]}` : `mean of batch ${batches.join(', ')}`
  const claim: Readonly<Record<string, string>> = { '1': '22x, 6x', '1,2,4,8': '7x, 1.7x' }
  const times = ({ ratio }: Headline) => ratio.toFixed(3)
  report(
    io,
    [
      "1.6B with P = 8 against the larger P = 1 model of equal loss (between 2.8B and 4.4B), by the paper's cost model for an A100\n\n",
      textTable(
        [
          ['', 'memory increase saved', 'latency increase saved', 'the paper says'],
          ...rows.map(({ batches, memory, latency }) => [
            name(batches),
            times(memory),
            times(latency),
            claim[batches.join()] ?? '',
          ]),
        ],
        { width: io.columns },
      ),
      '\nAbove 1, streams are the cheaper way to that loss. At batch 8 the latency ratio is below 1: there parameter scaling is faster.\n',
    ].join(''),
  )
}

/** Loss against memory and against latency, a pair of panels per batch, as in the paper. */
function figure4Charts(points: readonly MeanCost[]): Chart[] {
  // Both lists run through the six sizes in order.
  const losses = publishedPoints('stack-v2-python')
  const chart = (batch: number, key: 'memoryBytes' | 'latencySeconds', label: string, unit: number): Chart => ({
    title: `Figure 4, batch ${batch}`,
    x: { label, scale: 'log' },
    y: { label: 'loss, Stack-V2-Python', scale: 'linear' },
    series: figure4Streams.map((P) => {
      const costs = points.filter((point) => point.P === P && point.batch === batch)
      const line = losses.filter((point) => point.P === P).map(({ loss }, size) => [costs[size]![key] / unit, loss] as const)
      return { name: `P = ${P}`, line, dots: line }
    }),
  })
  return figure4Batches.flatMap((batch) => [
    chart(batch, 'memoryBytes', 'memory in GiB', 2 ** 30),
    chart(batch, 'latencySeconds', 'latency in s', 1),
  ])
}
