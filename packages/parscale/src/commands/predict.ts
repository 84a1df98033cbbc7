/** `parscale predict`: the loss of a model that was not trained, and what its streams are worth in parameters. */
import { type Command, Option } from '@commander-js/extra-typings'
import { usageError } from '@parscale/core/internal'
import { type Estimate, equivalentParameters, equivalentStreams, predictLoss, shortNumber } from '@parscale/core/internal/law'
import { type Io, report } from '../terminal/io.ts'
import { countArgument } from '../terminal/quantity.ts'
import { significant, textTable } from '../terminal/text-table.ts'
import { bootstrapOption, datasetOption, fittedLaw, lawOption, seedOption } from './law-options.ts'
import { integer } from './options.ts'

const examples = `
N counts parameters without embeddings. The law is fitted to DATA, or to published points (--dataset; Stack-V2-Python by default).

Examples:
  parscale predict --n 1.6B --p 8                   its loss, and the single-stream N of equal loss
  parscale predict --n 1.6B --larger-n 2.8B         the P at which 1.6B equals 2.8B with one stream
  parscale predict runs.csv --law joint-log --n 1B --p 4 --d 100B`

export function register(command: Command, io: Io): void {
  command
    .argument('[data]', 'CSV or JSON file to fit the law to')
    .addOption(
      new Option('--n <parameters>', 'non-embedding parameters, e.g. 1.6B').argParser(countArgument).makeOptionMandatory(),
    )
    .addOption(new Option('--p <streams>', 'parallel streams').argParser(integer(1)).default(1))
    .addOption(new Option('--d <tokens>', 'training tokens, for joint laws').argParser(countArgument))
    .addOption(
      new Option('--larger-n <parameters>', 'find the P at which --n equals this size at P = 1').argParser(countArgument),
    )
    .addOption(datasetOption)
    .addOption(lawOption)
    .addOption(bootstrapOption)
    .addOption(seedOption)
    .option('--json', 'print JSON')
    .addHelpText('after', examples)
    .action(async (file, flags) => {
      const { n: N, p: P, d: D, largerN } = flags
      if (largerN !== undefined && largerN < N)
        throw usageError(`--larger-n ${largerN} is smaller than --n ${N}`, { flag: '--larger-n', found: largerN })
      const { source, fit, thetas } = await fittedLaw(io, file, flags)
      const estimates = {
        loss: predictLoss(fit, { N, P, D }, thetas),
        equivalentParameters: equivalentParameters(fit, { N, P, D }, thetas),
        ...(largerN === undefined ? {} : { equivalentStreams: equivalentStreams(fit, { N, D }, largerN, thetas) }),
      }
      if (D !== undefined && !fit.law.needs.includes('D')) io.stderr(`warning: the ${fit.law.name} law does not look at --d\n`)
      const warnings = [...new Set(Object.values(estimates).flatMap((estimate) => estimate.warnings))]
      for (const warning of warnings) io.stderr(`warning: ${warning}\n`)
      if (flags.json) {
        const plain = Object.fromEntries(
          Object.entries(estimates).map(([name, { value, interval }]) => [name, { value, interval }]),
        )
        io.stdout(`${JSON.stringify({ source, law: fit.law.name, N, P, D, largerN, ...plain, warnings }, null, 2)}\n`)
        return
      }
      const parameters = (n: number) => (n === Infinity ? 'none' : shortNumber(n))
      const streams = (p: number) => (p === Infinity ? 'none' : significant(p, 3))
      report(io, `${fit.law.title}, fitted to ${source}\n\n`)
      io.stdout(
        textTable(
          [
            ['', 'value', ...(thetas.length === 0 ? [] : ['95 % from', 'to'])],
            row(`loss of N = ${shortNumber(N)}, P = ${P}`, estimates.loss, (loss) => loss.toFixed(4)),
            row('N at P = 1 with that loss', estimates.equivalentParameters, parameters),
            ...(estimates.equivalentStreams === undefined
              ? []
              : [row(`P with the loss of N = ${shortNumber(largerN!)}, P = 1`, estimates.equivalentStreams, streams)]),
          ],
          { width: io.columns },
        ),
      )
    })
}

function row(label: string, { value, interval }: Estimate, show: (value: number) => string): string[] {
  return [label, show(value), ...(interval === undefined ? [] : [show(interval.low), show(interval.high)])]
}
