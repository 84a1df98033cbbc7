/** `parscale bench --figure 4`: the paper's cost figure, measured on this machine beside the paper's computed one. */
import { figure4Batches, figure4Streams, type Headline, headline, headlineOf, publishedModel } from '@parscale/core/internal/cost'
import { type Chart, publishedPoints } from '@parscale/core/internal/law'
import type { KvType } from '@parscale/core/internal/model'
import { planShape } from '../bench/bench-model.ts'
import type { Row } from '../bench/rows.ts'
import { type BenchSettings, runBench } from '../bench/run-bench.ts'
import type { WeightBits } from '../bench/synthetic-model.ts'
import { type Io, report } from '../terminal/io.ts'
import { drawInFile } from '../terminal/plots.ts'
import { bytesText, percentText, secondsText, textTable } from '../terminal/text-table.ts'

const figureSizes = ['1.6B', '2.8B', '4.4B'] as const
/** The paper averages over input = output of 64, 128, 256 and 512 tokens; the shortest is what a CPU has patience for. */
const defaultLength = 64

interface Figure4Flags {
  readonly p?: number[] | undefined
  readonly batch: readonly number[]
  readonly kv: readonly KvType[]
  readonly rounds: number
}

/** P, batches, rounds and cache of the figure: all of the paper's unless the flags say otherwise. Its keys and values have 16 bits. */
export function figure4Setting(quick: boolean, flags: Figure4Flags, isDefault: (name: 'p' | 'batch' | 'kv') => boolean) {
  const kv = isDefault('kv') ? (['f16'] as const) : flags.kv
  if (quick) return { p: [1, 8], batch: [1], kv, rounds: 1, headlineOnly: true }
  return {
    kv,
    p: isDefault('p') ? [...figure4Streams] : flags.p!,
    batch: isDefault('batch') ? [...figure4Batches] : flags.batch,
    rounds: flags.rounds,
    headlineOnly: false,
  }
}

export interface Figure4Settings extends Omit<BenchSettings, 'context'> {
  readonly bits?: readonly WeightBits[] | undefined
  readonly layers?: number | undefined
  readonly vocab?: number | undefined
  readonly keep?: true | undefined
  /** The larger sizes at P = 1 only, which is what the ratios need. */
  readonly headlineOnly: boolean
  readonly json?: true | undefined
  readonly plot?: string | undefined
}

interface MeasuredPoint {
  readonly model: string
  readonly p: number
  readonly batch: number
  readonly memoryBytes: number
  readonly latencySeconds: number
}

export async function showMeasuredFigure4(io: Io, settings: Figure4Settings): Promise<void> {
  const { workplace, p, layers, headlineOnly } = settings
  const length = settings.prompt ?? defaultLength
  const [bits = 8] = settings.bits ?? []
  const plans = []
  for (const size of figureSizes) {
    const { shape } = publishedModel(size)
    const streams = headlineOnly && size !== '1.6B' ? [1] : p
    const cut = { ...shape, numHiddenLayers: layers ?? shape.numHiddenLayers, vocabSize: settings.vocab ?? shape.vocabSize }
    plans.push(
      await planShape(layers === undefined ? size : `${size} of ${layers} layers`, cut, bits, streams, {
        workplace,
        keep: settings.keep === true,
      }),
    )
  }
  io.stderr(
    `input and output of ${length} tokens each${length === defaultLength ? ' (--prompt chooses; the paper takes the mean of 64, 128, 256 and 512)' : ''}\n`,
  )
  const result = await runBench(
    plans,
    {
      ...settings,
      prompt: length,
      // In the middle of the answer, where a step costs what it costs in the mean.
      context: [length + Math.floor(length / 2)],
      choose: ({ model, p: streams }) => !headlineOnly || model.name.startsWith('1.6B') || streams === 1,
    },
    io,
  )
  const points = result.rows.map((row) => measuredPoint(row, length))
  const headlines = settings.batch.flatMap((batch) => {
    const measured = measuredHeadline(points, batch)
    return measured === undefined ? [] : [{ batch, measured, computed: computedHeadline(batch) }]
  })
  if (settings.plot !== undefined) await drawInFile(io, settings.plot, charts(points, settings.batch), 2)
  if (settings.json) io.stdout(`${JSON.stringify({ length, headlines, points, ...result }, null, 2)}\n`)
  else report(io, figureText(points, headlines, io.columns))
}

/** Latency of a whole request: its prefill, and as many steps as it has output tokens. */
const measuredPoint = (
  { model, p, batch, peakMemoryBytes, msPerToken, prefillMsSpread }: Row,
  length: number,
): MeasuredPoint => ({
  model,
  p,
  batch,
  memoryBytes: peakMemoryBytes,
  latencySeconds: (prefillMsSpread.median + length * msPerToken) / 1000,
})

interface Headlines {
  readonly memory: Headline
  readonly latency: Headline
}

/** Undefined where one of the four cases that it needs was not measured. */
function measuredHeadline(points: readonly MeasuredPoint[], batch: number): Headlines | undefined {
  const at = (size: string, p: number) => points.find((one) => one.model.startsWith(size) && one.p === p && one.batch === batch)
  const [base, parallel, larger, largest] = [at('1.6B', 1), at('1.6B', 8), at('2.8B', 1), at('4.4B', 1)]
  if (!base || !parallel || !larger || !largest) return undefined
  const of = (key: 'memoryBytes' | 'latencySeconds') =>
    headlineOf({ base: base[key], parallel: parallel[key], larger: larger[key], largest: largest[key] })
  return { memory: of('memoryBytes'), latency: of('latencySeconds') }
}

/** The paper computes for its four batch sizes, which need not be all that is measured. */
const computedHeadline = (batch: number): Headlines => headline([batch])

function figureText(
  points: readonly MeasuredPoint[],
  headlines: readonly { batch: number; measured: Headlines; computed: Headlines }[],
  width?: number,
) {
  const times = ({ ratio }: Headline) => `${ratio.toFixed(1)}x`
  const increase = ({ base, parallel }: Headline) => percentText(Number(((parallel - base) / base).toPrecision(2)))
  return [
    textTable(
      [
        ['size', 'P', 'batch', 'peak memory', 'latency'],
        ...points.map((one) => [
          one.model,
          String(one.p),
          String(one.batch),
          bytesText(one.memoryBytes),
          secondsText(one.latencySeconds),
        ]),
      ],
      { width },
    ),
    headlines.length === 0
      ? '\nno ratios: they need 1.6B at P = 1 and 8, 2.8B and 4.4B at P = 1\n'
      : `\n1.6B at P = 8 against the larger model of equal loss, increases over 1.6B at P = 1:\n\n${textTable(
          [
            [
              'batch',
              'less memory increase',
              'paper computes',
              'less latency increase',
              'paper computes',
              'P = 8: memory',
              'latency',
            ],
            ...headlines.map(({ batch, measured, computed }) => [
              String(batch),
              times(measured.memory),
              times(computed.memory),
              times(measured.latency),
              times(computed.latency),
              `+${increase(measured.memory)}`,
              `+${increase(measured.latency)}`,
            ]),
          ],
          { width },
        )}`,
  ].join('')
}

/** Loss against memory and against latency, a pair of panels per batch, as in the paper. */
function charts(points: readonly MeasuredPoint[], batches: readonly number[]): Chart[] {
  const losses = publishedPoints('stack-v2-python')
  const streams = [...new Set(points.map(({ p }) => p))]
  const chart = (batch: number, key: 'memoryBytes' | 'latencySeconds', label: string, unit: number): Chart => ({
    title: `Figure 4 measured, batch ${batch}`,
    x: { label, scale: 'log' },
    y: { label: 'loss, Stack-V2-Python', scale: 'linear' },
    series: streams.flatMap((p) => {
      // The published points run through the six sizes in order, of which these are the last three.
      const ofSizes = losses.filter((point) => point.P === p).slice(-figureSizes.length)
      const line = figureSizes.flatMap((size, i) => {
        const found = points.find((one) => one.model.startsWith(size) && one.p === p && one.batch === batch)
        const loss = ofSizes[i]?.loss
        return found === undefined || loss === undefined ? [] : [[found[key] / unit, loss] as const]
      })
      return line.length === 0 ? [] : [{ name: `P = ${p}`, line, dots: line }]
    }),
  })
  return batches.flatMap((batch) => [
    chart(batch, 'memoryBytes', 'peak memory in GiB', 2 ** 30),
    chart(batch, 'latencySeconds', 'latency in s', 1),
  ])
}
