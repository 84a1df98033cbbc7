/** The lines that a training run prints. */

import { type RunConfig, type Stage, type StepRecord, totalSteps } from '@parscale/core/internal/training'
import { bytesPerToken, type DatasetSummary } from '@parscale/core/internal/training/data'
import { formatAmount, formatSeconds } from '../terminal/progress.ts'

/** Data and model, before the first step. */
export function dataReport(summary: DatasetSummary): string {
  const { train, heldOut, duplicatesRemoved, skipped, withoutAnswer, sample } = summary
  const left = Object.entries({ ...skipped, duplicates: duplicatesRemoved, 'without answer': withoutAnswer })
    .filter(([, count]) => count > 0)
    .map(([reason, count]) => `${count} ${reason}`)
  return [
    `data: ${formatAmount(train.tokens)} tokens in ${train.documents} documents to train on, ${formatAmount(heldOut.tokens)} in ${heldOut.documents} held out, ${bytesPerToken(summary).toFixed(2)} bytes a token`,
    ...(left.length > 0 ? [`      left out: ${left.join(', ')}`] : []),
    `      begins: ${JSON.stringify(sample.slice(0, 120))}`,
  ].join('\n')
}

export interface ModelFigures {
  readonly parameters: number
  readonly trained: number
  readonly memoryBytes: number
}

export function modelReport(config: RunConfig, figures: readonly ModelFigures[], epochs: number): string {
  const { sequences, tokens, microBatches } = config.batch
  const perStep = sequences * tokens * microBatches
  const stageText = (stage: Stage, i: number) => {
    const { parameters, trained, memoryBytes } = figures[i]!
    return `P = ${stage.p}, ${stage.steps} steps, ${formatAmount(parameters)} parameters, ${formatAmount(trained)} of them trained, rate ${stage.learningRate} (${stage.schedule}), about ${formatAmount(memoryBytes, 'B')} of memory`
  }
  return [
    ...config.stages.map((stage, i) => `${config.stages.length > 1 ? `stage ${i + 1}` : 'model'}: ${stageText(stage, i)}`),
    `batch: ${formatAmount(perStep)} tokens a step, ${formatAmount(perStep * totalSteps(config))} in all (${epochs.toFixed(1)} times through the data)`,
  ].join('\n')
}

/** `4 workers on 2 computers, 2 passes of a step each, 1 thread each` */
export function workersText(hosts: readonly string[], passes: number, threads: number | undefined): string {
  const computers = new Set(hosts).size
  const [least, most] = [Math.floor(passes / hosts.length), Math.ceil(passes / hosts.length)]
  return [
    `${hosts.length} workers on ${computers === 1 ? 'this computer' : `${computers} computers`}`,
    `${least === most ? most : `${least} or ${most}`} ${most === 1 ? 'pass' : 'passes'} of a step each`,
    ...(threads === undefined ? [] : [`${threads} ${threads === 1 ? 'thread' : 'threads'} each`]),
  ].join(', ')
}

export interface Speed {
  readonly tokensPerSecond: number
  readonly gflopPerSecond: number
}

/** What stands beside the bar on a terminal, the loss before all else. */
export const stepNotes = ({ loss }: StepRecord, speed: Speed): string[] => [
  `loss ${loss.toFixed(3)}`,
  `${formatAmount(speed.tokensPerSecond)} tok/s`,
  `${speed.gflopPerSecond.toFixed(0)} GFLOP/s`,
]

/** A line where nobody watches a bar. */
export function stepLine(record: StepRecord, total: number, speed: Speed, secondsLeft: number): string {
  const { step, p, gradNorm, learningRate, skipped } = record
  return `step ${step}/${total}  P=${p}  ${stepNotes(record, speed).join('  ')}  norm ${gradNorm.toFixed(2)}  rate ${learningRate.toExponential(2)}  ETA ${formatSeconds(secondsLeft)}${skipped ? '  (skipped: loss too high)' : ''}`
}
