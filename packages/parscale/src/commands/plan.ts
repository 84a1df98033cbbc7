/** `parscale plan`: which size, P and weight format give the lowest loss within a budget; and the paper's Figure 4. */
import { type Command, InvalidArgumentError, Option } from '@commander-js/extra-typings'
import { usageError } from '@parscale/core/internal'
import {
  type Candidate,
  familyShapes,
  makePlan,
  type Plan,
  type WeightFormat,
  weightFormatNamed,
  weightFormats,
} from '@parscale/core/internal/cost'
import { type Chart, lossAt, publishedTokens, rangeWarnings, shortNumber } from '@parscale/core/internal/law'
import { chooseDevice } from '../bench/measure-device.ts'
import { type Io, report } from '../terminal/io.ts'
import { drawInFile, drawInTerminal, plotOption } from '../terminal/plots.ts'
import { bytesArgument, countArgument, countList, secondsArgument } from '../terminal/quantity.ts'
import { bytesText, secondsText, significant, textTable } from '../terminal/text-table.ts'
import { showFigure4 } from './figure4.ts'
import { datasetOption, fittedLaw, lawOption, refuseGiven } from './law-options.ts'
import { integer, number } from './options.ts'
import { planWorkers, withWorkersOptions, workersExamples, workersOnly } from './plan-workers.ts'

const examples = `
Sizes are those of the published family, hidden 896 to 2560. The loss comes from a law fitted to DATA or to published points, plus what
the weight format costs (llama.cpp's numbers for Llama 3 8B: a lower bound for smaller models).

Examples:
  parscale plan --device rtx-4090 --memory 2GiB --time-per-token 5ms
  parscale plan --device raspberry-pi-5 --time-per-token 200ms --formats q8_0,q4_k_m --plot plan.svg
  parscale plan --device a100-80gb --train-flops 1e21 --formats f16
  parscale plan --figure 4                     the paper's 22x and 6x, 7x and 1.7x, and where streams lose
${workersExamples}`

export function register(command: Command, io: Io): void {
  const withBudget = command
    .argument('[data]', 'CSV or JSON file to fit the law to')
    .option('--device <name>', 'see parscale cost --list-devices; this-machine measures', 'rtx-4090')
    .addOption(new Option('--memory <bytes>', "budget, e.g. 4GiB (default: the device's)").argParser(bytesArgument))
    .addOption(new Option('--time-per-token <time>', 'budget, e.g. 20ms').argParser(secondsArgument))
    .addOption(new Option('--train-flops <n>', 'budget for training, e.g. 1e21').argParser(countArgument))
    .addOption(
      new Option(
        '--train-tokens <D>',
        `tokens that each candidate is trained on (default: ${shortNumber(publishedTokens)}; with a joint law and --train-flops, what these pay for)`,
      ).argParser(countArgument),
    )
    .addOption(new Option('--streams <list>', 'P to try').argParser(countList).default([1, 2, 4, 8], '1,2,4,8'))
    .addOption(
      new Option('--formats <list>', `weight formats to try: ${weightFormats.map(({ name }) => name).join(', ')}`).argParser(
        formatList,
      ),
    )
    .addOption(new Option('--batch <n>', 'requests at a time').argParser(integer(1)).default(1))
    .addOption(new Option('--input <n>', 'prompt tokens').argParser(integer(1)).default(256))
    .addOption(new Option('--output <n>', 'generated tokens').argParser(integer(2)).default(256))
    .addOption(new Option('--kv-bits <bits>', 'bits of a number in the KV cache').argParser(number).default(16))
    .addOption(datasetOption)
    .addOption(lawOption)
    .addOption(new Option('--figure <n>', 'a figure of the paper instead of a plan').choices(['4']))
  withWorkersOptions(withBudget)
    .addOption(plotOption)
    .option('--json', 'print JSON')
    .addHelpText('after', examples)
    .action(async (file, flags, command) => {
      if (flags.workers !== undefined) return await planWorkers(io, file, flags, command)
      refuseGiven(command, workersOnly, 'without --workers')
      if (flags.figure !== undefined) {
        if (file !== undefined) throw usageError(`DATA has no effect with --figure, got ${file}`, { flag: 'DATA', found: file })
        const names = command.options.map((option) => option.attributeName())
        refuseGiven(
          command,
          names.filter((name) => !['figure', 'plot', 'json'].includes(name)),
          'with --figure',
        )
        return showFigure4(io, flags)
      }
      const device = await chooseDevice(flags.device, io)
      const { source, fit } = await fittedLaw(io, file, { ...flags, bootstrap: 0, seed: 0 })
      const joint = fit.law.needs.includes('D')
      const trainingTokens = flags.trainTokens ?? (joint && flags.trainFlops !== undefined ? undefined : publishedTokens)
      const setting = (N: number, P: number, D: number) => (joint ? { N, P, D } : { N, P })
      const plan = makePlan({
        device,
        budget: { memoryBytes: flags.memory, secondsPerToken: flags.timePerToken, trainingFlops: flags.trainFlops },
        shapes: familyShapes(),
        streams: flags.streams,
        formats: flags.formats ?? weightFormats,
        batch: flags.batch,
        inputTokens: flags.input,
        outputTokens: flags.output,
        kvBits: flags.kvBits,
        trainingTokens,
        trainingSequenceLength: 2048,
        loss: (N, P, D) => lossAt(fit.law, fit.theta, setting(N, P, D)),
      })
      const warnings = [...new Set(plan.pareto.flatMap((one) => rangeWarnings(fit, setting(one.N, one.P, one.trainingTokens))))]
      if (!joint && flags.trainTokens !== undefined) {
        warnings.push(
          `the ${fit.law.name} law knows nothing of training tokens: losses are those of its data, whatever --train-tokens says`,
        )
      }
      for (const warning of warnings) io.stderr(`warning: ${warning}\n`)
      if (flags.json) {
        io.stdout(
          `${JSON.stringify({ device, law: fit.law.name, source, params: fit.params, ...plan, best: plain(plan.best), pareto: plan.pareto.map(plain), warnings }, null, 2)}\n`,
        )
      } else {
        report(
          io,
          `${device.title}, ${fit.law.title} fitted to ${source}: ${plan.feasible} of ${plan.considered} candidates meet the budget\n\n`,
        )
        report(io, planText(plan, io.columns))
      }
      const chart = paretoChart(plan, flags.memory)
      if (flags.plot !== undefined) await drawInFile(io, flags.plot, [chart])
      else if (!flags.json) drawInTerminal(io, chart)
    })
}

const plain = ({ shape, format, ...rest }: Candidate) => ({
  hiddenSize: shape.hiddenSize,
  intermediateSize: shape.intermediateSize,
  format: format.name,
  bits: format.bits,
  ...rest,
})

/** More lines than a screen holds would hide the best: the front is thinned out evenly. */
const shownCandidates = 16

function planText({ best, pareto }: Plan, width?: number): string {
  const every = Math.max(1, Math.ceil(pareto.length / shownCandidates))
  const shown = pareto.filter((_, i) => i % every === 0)
  const row = (candidate: Candidate) => [
    shortNumber(candidate.N),
    String(candidate.P),
    candidate.format.name,
    candidate.loss.toFixed(4),
    bytesText(candidate.memoryBytes),
    secondsText(candidate.secondsPerToken),
    shortNumber(candidate.trainingTokens),
    significant(candidate.trainingFlops, 3),
    candidate.binds,
  ]
  return [
    `best: N = ${shortNumber(best.N)}, P = ${best.P}, ${best.format.name}: loss ${best.loss.toFixed(4)}, ${bytesText(best.memoryBytes)}, ${secondsText(best.secondsPerToken)} a token\n\n`,
    `not beaten in loss, memory and time at once (${shown.length} of ${pareto.length}):\n`,
    textTable([['N', 'P', 'format', 'loss', 'memory', 'a token', 'trained on', 'FLOPs', 'decode bound by'], ...shown.map(row)], {
      width,
      drop: ['decode bound by', 'FLOPs', 'trained on'],
      keys: 3,
    }),
  ].join('')
}

/** Colours tell P, shapes the weight format; the best plan and the budget of memory are marked. */
function paretoChart({ pareto, best }: Plan, memoryBudget: number | undefined): Chart {
  const streams = [...new Set(pareto.map(({ P }) => P))].sort((a, b) => a - b)
  const formats = [...new Set(pareto.map(({ format }) => format.name))].sort()
  const at = ({ memoryBytes, loss }: Candidate) => [memoryBytes / 2 ** 30, loss] as const
  const losses = pareto.map(({ loss }) => loss)
  const budget =
    memoryBudget === undefined
      ? []
      : [Math.min(...losses), Math.max(...losses)].map((loss) => [memoryBudget / 2 ** 30, loss] as const)
  return {
    title: 'Plans that no other beats',
    x: { label: 'memory in GiB', scale: 'log' },
    y: { label: 'loss', scale: 'linear' },
    series: [
      ...streams.flatMap((P, color) =>
        formats.map((name, shape) => ({
          name: `P = ${P}`,
          color,
          shape,
          dots: pareto.filter((candidate) => candidate.P === P && candidate.format.name === name).map(at),
        })),
      ),
      ...(budget.length === 0 ? [] : [{ name: 'budget', line: budget, background: true }]),
    ],
    legend: [
      ...streams.map((P, color) => ({ name: `P = ${P}`, color, shape: 0, mark: 'dot' }) as const),
      ...formats.map((name, shape) => ({ name, shape, mark: 'dot', background: true }) as const),
      ...(budget.length === 0 ? [] : [{ name: `budget, ${bytesText(memoryBudget!)}`, mark: 'line', background: true } as const]),
    ],
    notes: [{ at: at(best), text: `best: ${shortNumber(best.N)}, P = ${best.P}, ${best.format.name}` }],
  }
}

function formatList(text: string): WeightFormat[] {
  try {
    return text.split(',').map((name) => weightFormatNamed(name.trim()))
  } catch (error) {
    throw new InvalidArgumentError((error as Error).message)
  }
}
