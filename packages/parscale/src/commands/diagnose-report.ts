/** A diagnosis as text: tables with small bars, then what the theory says, then alarms. */
import type { Diagnosis, LossFigure } from '@parscale/core/internal/evaluation'
import { textTable } from '../terminal/text-table.ts'

const barWidth = 20
const levels = ' ▁▂▃▄▅▆▇█'

/**
 * @param precision of the weights, in words
 * @param width of the terminal; absent: tables are as wide as they get
 */
export function diagnosisReport(diagnosis: Diagnosis, precision: string, width?: number): string {
  const { p, tokens } = diagnosis
  return [
    `P = ${p}, weights ${precision}, ${tokens} tokens predicted; losses in nats a token\n`,
    lossTable(diagnosis, width),
    correlationTable(diagnosis, width),
    theoryText(diagnosis, width),
    weightTable(diagnosis, width),
    alarmText(diagnosis),
  ].join('\n')
}

function lossTable({ losses }: Diagnosis, width?: number): string {
  const worst = Math.max(...losses.streams.map(({ difference }) => difference), 0)
  const row = (name: string, { loss, difference, standardError }: LossFigure): string[] => [
    name,
    loss.toFixed(4),
    `${difference >= 0 ? '+' : ''}${difference.toFixed(4)}`,
    standardError.toFixed(4),
    worst > 0 ? bar(difference / worst) : '',
  ]
  return textTable(
    [
      ['', 'loss', 'minus aggregate', 'std. error', ''],
      ['aggregate', losses.aggregate.toFixed(4), '-', '-', ''],
      row('average of hidden states', losses.average),
      row('average of probabilities', losses.ensemble),
      ...losses.streams.map((figure, i) => row(`stream ${i + 1} alone`, figure)),
      ...losses.withoutStream.map((figure, i) => row(`without stream ${i + 1}`, figure)),
    ],
    { width },
  )
}

/** Both triangles of one matrix, as they are symmetric. */
function correlationTable({ p, correlation, distances }: Diagnosis, width?: number): string {
  const numbers = Array.from({ length: p }, (_, i) => i)
  const cell = (i: number, j: number) => (i === j ? '-' : (i < j ? correlation.rho : distances)[i]![j]!.toFixed(4))
  return [
    'rho of residuals above the diagonal, relative distance of hidden states below\n',
    textTable(
      [['', ...numbers.map((i) => String(i + 1))], ...numbers.map((i) => [`stream ${i + 1}`, ...numbers.map((j) => cell(i, j))])],
      { width },
    ),
  ].join('')
}

function theoryText({ p, losses, correlation, disagreement }: Diagnosis, width?: number): string {
  const { meanRho, floor, factor, predictedLoss, lossCorrelation } = correlation
  const alone = losses.streams.reduce((sum, { loss }) => sum + loss, 0) / p
  const ofPairs = (matrix: readonly (readonly number[])[]) => {
    const pairs = matrix.flatMap((row, i) => row.slice(0, i))
    return pairs.reduce((sum, x) => sum + x, 0) / pairs.length
  }
  return (
    textTable(
      [
        ['mean rho', 'factor', 'mean alone', 'predicted', 'average of probabilities', 'aggregate'],
        [meanRho, factor, alone, predictedLoss, losses.ensemble.loss, losses.aggregate].map((x) => x.toFixed(4)),
      ],
      { width },
    ) +
    [
      `factor is ((P - 1) rho + 1) / P, what P streams leave of one stream's loss above the floor E = ${floor}`,
      ...(floor === 0 ? ['E = 0 makes rho an upper bound; --floor sets E. The predicted loss hardly depends on it'] : []),
      `correlation of the losses themselves: ${ofPairs(lossCorrelation).toFixed(4)} (hard tokens are hard for every stream)`,
      `two streams, each alone, would write different tokens at ${(100 * ofPairs(disagreement)).toFixed(1)} % of the places\n`,
    ].join('\n')
  )
}

function weightTable({ p, weights }: Diagnosis, width?: number): string {
  const rows = weights.mean.map((mean, i) => [
    `stream ${i + 1}`,
    mean.toFixed(4),
    weights.deviation[i]!.toFixed(4),
    bar(mean),
    `${(100 * weights.leads[i]!).toFixed(1)} %`,
    `|${sparkline(weights.histogram[i]!)}|`,
  ])
  const smoothed =
    weights.smoothing > 0 ? `; before smoothing by ${weights.smoothing}: ${weights.beforeSmoothing.entropy.toFixed(4)}` : ''
  return [
    textTable([['', 'mean weight', 'deviation', '', 'leads', 'weights 0 to 1'], ...rows], { width }),
    `entropy of the weights: ${weights.entropy.toFixed(4)} of ln ${p}${smoothed}\n`,
  ].join('')
}

function alarmText({ alarms }: Diagnosis): string {
  if (alarms.length === 0) return 'no alarm: neither stream collapse nor weight monoculture\n'
  return alarms.map(({ kind, message }) => `ALARM ${kind}: ${message}\n`).join('')
}

const bar = (share: number): string => '#'.repeat(Math.round(barWidth * Math.max(0, Math.min(1, share))))

/** One character a bin; any count above 0 shows. */
function sparkline(counts: readonly number[]): string {
  const most = Math.max(...counts)
  return counts.map((count) => levels[Math.ceil((count / most) * (levels.length - 1))]).join('')
}
