/** `parscale plan --workers`: how long a step of training takes with more workers than there are, and what binds. */
import { type Command, Option } from '@commander-js/extra-typings'
import { usageError } from '@parscale/core/internal'
import {
  type MessageCost,
  measuredHiddenShare,
  measuredMessageCost,
  type StepBound,
  trainingFlopsPerToken,
  type WorkersStep,
  workersStep,
} from '@parscale/core/internal/cost'
import { shortNumber } from '@parscale/core/internal/law'
import { layOut, type StepTraffic, stepTraffic, type WorkerMemory, workerMemory } from '@parscale/core/internal/training'
import { chooseDevice } from '../bench/measure-device.ts'
import { parametersOfShape, resolveShape } from '../bench/model-shape.ts'
import { type Io, report } from '../terminal/io.ts'
import { bandwidthArgument, counted, countList, secondsArgument, shareArgument } from '../terminal/quantity.ts'
import { bytesText, percentText, secondsText, significant, textTable } from '../terminal/text-table.ts'
import { wrapLines } from '../terminal/wrap.ts'
import { refuseGiven } from './law-options.ts'
import { type FlagsOf, forAnyCommand, integer } from './options.ts'

export const workersExamples = `  parscale plan --workers 8,64,512 --p 8 --pass-seconds 40   a step of data-parallel training, and what binds`

/** The default of `plan` is a GPU, on which `train` does not run. */
const defaultDevice = 'epyc-9654'
/** Of the device's peak FLOP/s, as `parscale cost` takes it for training. */
const utilisation = 0.4
/** AdamW reads parameter, gradient and two moments, and writes all but the gradient: float32. */
const updateBytes = 28
/** More takes minutes to count, and is more than a step is shared by. */
const mostWorkers = 4096

const options = (command: Command) =>
  command
    .addOption(
      new Option('--workers <list>', 'step time of data-parallel training with so many, instead of a plan').argParser(countList),
    )
    .addOption(new Option('--model <model>', 'size, checkpoint or config.json, as of parscale cost').default('1.6B'))
    .addOption(new Option('--p <n>', "parallel streams (default: the checkpoint's, or 1)").argParser(integer(1)))
    .addOption(
      new Option('--micro-batches <n>', 'passes of a step, of all workers (default: one for each of the most)').argParser(
        integer(1),
      ),
    )
    .addOption(new Option('--batch-size <n>', 'sequences in one pass').argParser(integer(1)).default(1))
    .addOption(new Option('--sequence-length <n>', 'tokens in a sequence').argParser(integer(1)).default(2048))
    .addOption(
      new Option(
        '--pass-seconds <time>',
        `of one pass, measured (default: from FLOPs at ${percentText(utilisation)} of --device)`,
      ).argParser(secondsArgument),
    )
    .addOption(new Option('--pass-spread <share>', 'standard deviation of it').argParser(shareArgument).default(0.05, '5%'))
    .addOption(new Option('--latency <time>', 'of the network, one way').argParser(secondsArgument).default(50e-6, '50us'))
    .addOption(
      new Option('--bandwidth <bits>', "of each worker's link, in a second")
        .argParser(bandwidthArgument)
        .default(1.25e9, '10Gbit'),
    )

export const withWorkersOptions = forAnyCommand(options)
type Flags = FlagsOf<typeof options> & { readonly device: string; readonly json?: true | undefined }

/** Names of the options that only `--workers` has. */
export const workersOnly = [
  'model',
  'p',
  'microBatches',
  'batchSize',
  'sequenceLength',
  'passSeconds',
  'passSpread',
  'latency',
  'bandwidth',
]

interface Input {
  readonly name: string
  readonly value: string
  readonly source: string
}

interface Row {
  readonly step: WorkersStep
  readonly traffic: StepTraffic
  readonly memory: WorkerMemory
}

export async function planWorkers(
  io: Io,
  file: string | undefined,
  flags: Flags,
  command: Pick<Command, 'getOptionValueSource' | 'options'>,
): Promise<void> {
  if (file !== undefined)
    throw usageError(`DATA has no effect with --workers, got ${file}; name the model by --model`, { flag: 'DATA', found: file })
  const known = ['workers', 'device', 'json', ...workersOnly]
  const names = command.options.map((option) => option.attributeName())
  refuseGiven(
    command,
    names.filter((name) => !known.includes(name)),
    'with --workers',
  )
  const given = (name: string) => command.getOptionValueSource(name) !== 'default'
  const workers = flags.workers!
  const most = Math.max(...workers)
  if (most > mostWorkers)
    throw usageError(`--workers: at most ${mostWorkers}, got ${most}`, { flag: '--workers', expected: mostWorkers, found: most })

  const named = await resolveShape(flags.model, {}, io.env)
  // As many pieces are laid out as config.json says, which is not believed of a damaged model.
  const [problem] = named.problems ?? []
  if (problem) throw problem
  const P = flags.p ?? named.P ?? 1
  const layout = layOut(parametersOfShape(named.shape, P))
  const elements = layout.pieces.reduce((sum, { start, end }) => sum + end - start, 0)
  const passes = flags.microBatches ?? most
  const tokens = flags.batchSize * flags.sequenceLength
  const device = await chooseDevice(given('device') ? flags.device : defaultDevice, io)
  const measuredNow = device.kind === 'measured'
  const flops = tokens * trainingFlopsPerToken(named.shape, P, flags.sequenceLength)
  const passSeconds = flags.passSeconds ?? flops / (utilisation * device.flopsPerSecond)
  const updateSeconds = (updateBytes * elements) / device.bytesPerSecond
  const link = { latencySeconds: flags.latency, bytesPerSecond: flags.bandwidth }
  const rows = workers.map((count): Row => {
    // Those without a pass take no part.
    const sharing = Math.min(count, passes)
    const traffic = stepTraffic(layout, passes, sharing)
    const step = workersStep({
      ...{ workers: count, passes, passSeconds, passSpread: flags.passSpread, updateSeconds, traffic, link },
      ...{ cost: measuredMessageCost, hiddenShare: measuredHiddenShare },
    })
    return { step, traffic, memory: workerMemory(layout, passes, sharing) }
  })

  const said = (name: string) => (given(name) ? 'given' : 'assumed')
  const ofDevice = `${device.title}${measuredNow ? ', measured now' : ', not measured'}`
  const inputs: Input[] = [
    {
      name: 'a pass',
      value: secondsText(passSeconds),
      source:
        flags.passSeconds === undefined ? `${significant(flops)} FLOPs at ${percentText(utilisation)} of ${ofDevice}` : 'given',
    },
    { name: 'its spread', value: percentText(flags.passSpread), source: said('passSpread') },
    {
      name: 'an update by one worker',
      value: secondsText(updateSeconds),
      source: `${updateBytes} bytes a parameter, ${ofDevice}`,
    },
    { name: 'latency, one way', value: secondsText(flags.latency), source: said('latency') },
    { name: 'bandwidth of a link', value: `${significant((flags.bandwidth * 8) / 1e9)} Gbit/s`, source: said('bandwidth') },
    { name: 'messages', value: messageText(measuredMessageCost), source: 'fitted to 2 workers (npm run bench:workers-network)' },
    {
      name: 'hidden at most',
      value: percentText(measuredHiddenShare),
      source: 'measured with 2 workers (npm run bench:workers)',
    },
  ]
  const idle = workers.filter((count) => count > passes)
  const warnings = idle.map(
    (count) => `${counted(count, 'worker')}, but ${passes} passes in a step: train refuses this; give --micro-batches ${count}`,
  )
  for (const warning of warnings) io.stderr(`warning: ${warning}\n`)
  if (flags.json) {
    const results = rows.map(({ step, traffic, memory }) => ({ ...step, traffic, memory }))
    const asked = { passes, batchSize: flags.batchSize, sequenceLength: flags.sequenceLength, passSeconds, updateSeconds }
    const fitted = { messages: measuredMessageCost, hiddenShare: measuredHiddenShare }
    const found = { model: named.name, P, parameters: elements, device, ...asked, passSpread: flags.passSpread, link, ...fitted }
    io.stdout(`${JSON.stringify({ ...found, inputs, results, warnings }, null, 2)}\n`)
    return
  }
  report(
    io,
    `${named.name}, P = ${P}, ${shortNumber(elements)} parameters: ${passes === 1 ? '1 pass' : `${passes} passes`} of ${flags.batchSize} x ${flags.sequenceLength} tokens a step\n\n`,
  )
  report(io, workersText(rows, inputs, io.columns))
}

const messageText = (cost: MessageCost): string =>
  `${secondsText(cost.messageSeconds)} each, ${secondsText(cost.hopSeconds)} a hop, ${significant(cost.byteSeconds * 1e9)} ns a byte, ${percentText(cost.bandwidthShare)} of the bandwidth, ${significant(cost.windowBytes / 1e6)} MB under way`

const parts: readonly StepBound[] = ['compute', 'latency', 'bandwidth', 'overhead', 'stragglers', 'too few passes']

function workersText(rows: readonly Row[], inputs: readonly Input[], width?: number): string {
  const table = textTable(
    [
      ['workers', 'step', 'faster', 'efficiency', ...parts, 'binds', 'memory'],
      ...rows.map(({ step, memory }) => [
        String(step.workers),
        secondsText(step.seconds),
        `${significant(step.speedup, 3)} x`,
        `${(100 * step.efficiency).toFixed(0)} %`,
        ...parts.map((part) => (step.parts[part] === 0 ? '-' : secondsText(step.parts[part]))),
        step.binds,
        bytesText(memory.total),
      ]),
    ],
    { width, drop: ['too few passes', 'stragglers'] },
  )
  const sources = textTable([['from', 'value', 'source'], ...inputs.map(({ name, value, source }) => [name, value, source])], {
    width,
  })
  const words =
    'Memory is that of parameters, gradients, a share of the moments and sums of others, without activations. Messages were measured with two workers over links with delays and rates; every figure for more is the model, docs/training.md.\n'
  return `${table}\n${sources}\n${wrapLines(words, width)}`
}
