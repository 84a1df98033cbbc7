/** The loss of a finished run: an SVG in its folder, and a curve of block characters for the terminal. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import process from 'node:process'
import { type Chart, renderSvg } from '@parscale/core/internal/law'
import { writeWholeFile } from '@parscale/core/internal/node/disk'
import { parseMetrics } from '@parscale/core/internal/training'
import { blockChart } from '../terminal/block-chart.ts'
import type { Io } from '../terminal/io.ts'

/** More points than a picture is wide only make the file larger. */
const mostPoints = 1000
const widestPicture = 78

type Point = readonly [step: number, loss: number]

/** Draws and says where. A picture that cannot be written is no reason to fail: the run is finished. */
export async function showLosses(io: Io, run: string): Promise<void> {
  try {
    const file = join(run, 'metrics.jsonl')
    const records = parseMetrics(await readFile(file, 'utf8'), file)
    const losses = (kind: string): Point[] =>
      records.flatMap((each) =>
        each.kind === kind && 'loss' in each && Number.isFinite(each.loss) ? [[each.step, Number(each.loss)] as const] : [],
      )
    const [train, heldOut] = [losses('train'), losses('evaluation')]
    if (train.length === 0) return
    if (io.isTTY.stderr) {
      const width = Math.min(widestPicture, process.stderr.columns ?? widestPicture)
      io.stderr(
        `\ntraining loss, steps ${train[0]![0]} to ${train.at(-1)![0]}\n${blockChart(
          train.map(([, loss]) => loss),
          width,
        )}\n\n`,
      )
    }
    const picture = join(run, 'loss.svg')
    await writeWholeFile(picture, renderSvg([lossChart(train, heldOut)]))
    io.stderr(`loss curve: ${picture}\n`)
  } catch (error) {
    io.stderr(`warning: no picture of the losses: ${error instanceof Error ? error.message : String(error)}\n`)
  }
}

const lossChart = (train: readonly Point[], heldOut: readonly Point[]): Chart => ({
  title: 'Loss of the run',
  x: { label: 'step', scale: 'linear' },
  y: { label: 'nats a token', scale: 'linear' },
  series: [
    { name: 'training', line: thinned(train) },
    { name: 'held out', line: heldOut, dots: heldOut },
  ],
})

function thinned(points: readonly Point[]): readonly Point[] {
  const every = Math.ceil(points.length / mostPoints)
  return points.filter((_, i) => i % every === 0 || i === points.length - 1)
}
