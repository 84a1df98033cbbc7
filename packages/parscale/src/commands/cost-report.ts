/** What `parscale cost` found, as text. */
import {
  assumedEfficiency,
  type Device,
  type DeviceCost,
  devices,
  type Phase,
  type ReferenceCost,
  referenceFormulas,
  symbolLegend,
  type Term,
  type TrainingRun,
  type trainingCost,
  trainingFormula,
} from '@parscale/core/internal/cost'
import { shortNumber } from '@parscale/core/internal/law'
import { bytesText, percentText, secondsText, significant, textTable } from '../terminal/text-table.ts'
import { wrapLines } from '../terminal/wrap.ts'

export function deviceText(cost: DeviceCost, device: Device, explain: boolean, width?: number): string {
  const phase = (name: string, { seconds, binds }: Phase) => [
    name,
    secondsText(seconds),
    seconds === 0 ? 'nothing to do' : `${binds} binds`,
  ]
  const lines = [
    `on ${device.title}: ${significant(device.bytesPerSecond / 1e9)} GB/s, ${significant(device.flopsPerSecond / 1e12)} TFLOP/s\n\n`,
    textTable(
      [
        ['', 'cost', ''],
        [
          'memory',
          bytesText(cost.memoryBytes),
          cost.fits ? `fits into ${bytesText(device.memoryBytes)}` : `does NOT fit into ${bytesText(device.memoryBytes)}`,
        ],
        phase('prefill', cost.prefill),
        phase('decode', cost.decode),
        [
          'latency',
          secondsText(cost.latencySeconds),
          cost.secondsPerToken === undefined ? '' : `${secondsText(cost.secondsPerToken)} a token`,
        ],
      ],
      { width },
    ),
  ]
  if (!explain) return lines.join('')
  const list = (title: string, terms: readonly Term[], show: (value: number) => string) =>
    `\n${textTable([[title, 'formula', 'value'], ...terms.map(({ name, formula, value }) => [`  ${name}`, formula, show(value)])], { width })}`
  const flops = (value: number) => `${significant(value / 1e9)} GFLOP`
  return [
    ...lines,
    list('memory', cost.memory, bytesText),
    list('prefill, FLOPs', cost.prefill.flops, flops),
    list('prefill, bytes', cost.prefill.bytes, bytesText),
    list('decode, FLOPs, all steps', cost.decode.flops, flops),
    list('decode, bytes, all steps', cost.decode.bytes, bytesText),
    `\n${symbolLegend}.\n${reachText(device)} Device: ${device.source}.\n`,
  ].join('')
}

function reachText({ kind }: Device): string {
  const phase = 'A phase takes the larger of FLOPs / FLOP/s and bytes / bytes/s'
  if (kind === 'measured') return `${phase}, as measured.`
  const { flops, bandwidth } = assumedEfficiency
  return `${phase}; ${percentText(flops)} of the FLOP/s and ${percentText(bandwidth)} of the bytes/s above are taken to be reached.`
}

export function referenceText(cost: ReferenceCost, explain: boolean, width?: number): string {
  const total = `the paper's model, A100-80GB\n\nMemory: ${(cost.memoryBytes / 2 ** 30).toFixed(3)}GB; Latency: ${cost.latencySeconds.toFixed(3)}s\n`
  if (!explain) return total
  const formulas: Readonly<Record<string, string>> = referenceFormulas
  const rows = (terms: object, show: (value: number) => string) =>
    Object.entries(terms).map(([name, value]: [string, number]) => [`  ${name}`, formulas[name]!, show(value)])
  const signed = (value: number) => (value < 0 ? `-${secondsText(-value)}` : secondsText(value))
  return [
    total,
    `\n${textTable([['memory', 'formula', 'value'], ...rows(cost.memory, bytesText)], { width })}`,
    `\n${textTable([['latency', 'formula', 'value'], ...rows(cost.latency, signed)], { width })}`,
    `\n${referenceFormulas.legend}\n`,
  ].join('')
}

export function trainingText(
  run: TrainingRun,
  costs: ReturnType<typeof trainingCost>,
  device: Device,
  explain: boolean,
  width?: number,
): string {
  const row = (name: string, { flops, hours }: { flops: number; hours: number }) => [name, significant(flops), significant(hours)]
  const [first, second] = [shortNumber(run.firstStageTokens), shortNumber(run.secondStageTokens)]
  return [
    `\ntraining on ${run.deviceCount} x ${device.title} at ${percentText(run.utilisation)} of peak, sequences of ${run.sequenceLength}\n\n`,
    textTable(
      [
        ['', 'FLOPs', 'hours'],
        row(`two stages: ${first} tokens at P = 1, then ${second} at P = ${run.P}`, costs.twoStage),
        row(`one stage: all at P = ${run.P}`, costs.singleStage),
      ],
      { width },
    ),
    `\none stage costs ${significant(costs.ratio, 3)} times as much\n`,
    explain ? `${trainingFormula}.\n` : '',
  ].join('')
}

/** Sources stand on lines of their own: they are sentences. */
export function devicesText(width?: number): string {
  const rows = devices.map(({ name, kind, memoryBytes, bytesPerSecond, flopsPerSecond }) => [
    name,
    kind,
    String(memoryBytes / 2 ** 30),
    significant(bytesPerSecond / 1e9),
    significant(flopsPerSecond / 1e12),
  ])
  const [head, ...lines] = textTable([['name', 'kind', 'GiB', 'GB/s', 'TFLOP/s'], ...rows], { width, drop: ['kind'] })
    .trimEnd()
    .split('\n')
  return wrapLines(`${[head, ...lines.map((line, i) => `${line}\n    ${devices[i]!.source}`)].join('\n')}\n`, width)
}
