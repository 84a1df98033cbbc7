/** A diagnosis as four charts: losses, alikeness, mean weights, histograms. */
import { type Diagnosis, histogramBins } from '@parscale/core/internal/evaluation'
import type { Chart, XY } from '@parscale/core/internal/law'

export function diagnosisCharts({ p, losses, correlation, distances, weights }: Diagnosis): Chart[] {
  const streams = Array.from({ length: p }, (_, i) => i + 1)
  const x = { label: 'stream', scale: 'linear', ticks: streams } as const
  const perStream = (values: readonly number[]) => values.map((value, i): XY => [i + 1, value])
  const level = (value: number) => [1, p].map((stream): XY => [stream, value])
  const pairs = distances.flatMap((row, i) => row.slice(0, i).map((distance, j): XY => [distance, correlation.rho[i]![j]!]))
  return [
    {
      title: 'Losses',
      x,
      y: { label: 'nats a token', scale: 'linear' },
      series: [
        { name: 'stream alone', dots: perStream(losses.streams.map(({ loss }) => loss)) },
        { name: 'without the stream', dots: perStream(losses.withoutStream.map(({ loss }) => loss)) },
        { name: 'average of hidden states', line: level(losses.average.loss), dash: 1 },
        { name: 'average of probabilities', line: level(losses.ensemble.loss), dash: 2 },
        { name: 'aggregate', line: level(losses.aggregate) },
      ],
    },
    {
      title: 'Pairs of streams',
      x: { label: 'relative distance of hidden states', scale: 'linear' },
      y: { label: 'rho of residuals', scale: 'linear' },
      series: [{ name: 'pair', dots: pairs }],
    },
    {
      title: 'Aggregation weights',
      x,
      y: { label: 'share', scale: 'linear' },
      series: [
        { name: 'mean weight', bars: perStream(weights.mean) },
        { name: 'leads', bars: perStream(weights.leads) },
        { name: 'even split', line: level(1 / p), background: true },
      ],
    },
    {
      title: 'Histogram of weights',
      x: { label: 'weight', scale: 'linear' },
      y: { label: 'tokens', scale: 'linear' },
      series: weights.histogram.map((counts, i) => ({
        name: `stream ${i + 1}`,
        bars: counts.map((count, bin): XY => [(bin + 0.5) / histogramBins, count]),
      })),
    },
  ]
}
