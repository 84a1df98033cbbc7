/** `parscale fit`: a scaling law from measured points, with intervals, residuals and a comparison of laws. */
import type { Command } from '@commander-js/extra-typings'
import { isParscaleError } from '@parscale/core'
import {
  type BootstrapThetas,
  type Comparison,
  compareFits,
  contourChart,
  type DatasetName,
  type Fit,
  fitChart,
  fitLaw,
  type Interval,
  type LikelihoodRatio,
  lawNames,
  laws,
  likelihoodRatio,
  parameterIntervals,
  publishedFits,
  renderTerminal,
  residualChart,
} from '@parscale/core/law'
import type { Io } from '../io.ts'
import {
  bootstrapOption,
  bootstrapWithProgress,
  checkLevel,
  chooseLaw,
  datasetOption,
  lawOption,
  levelOption,
  readPoints,
  seedOption,
} from './law-options.ts'
import { significant, textTable } from './text-table.ts'
import { writePlot } from './write-plot.ts'

const examples = `
DATA is CSV with the columns N, P, loss and, if known, D (training tokens) and weight; or JSON, [{"N": 5.4e8, "P": 1, "loss": 1.17}, ...].

Examples:
  parscale fit --dataset stack-v2-python           the paper's Equation 5 from its 24 points
  parscale fit runs.csv --law joint-log --json     over N, P and D
  parscale fit runs.csv --plot fit.svg             curves with their band, contours, residuals`

interface Report {
  readonly source: string
  readonly fit: Fit
  readonly thetas: BootstrapThetas
  readonly level: number
  readonly intervals: Readonly<Record<string, Interval>> | undefined
  readonly comparison: readonly Comparison[]
  readonly ratio: (LikelihoodRatio & { readonly against: string }) | undefined
}

export function registerFit(program: Command, io: Io): void {
  program
    .command('fit')
    .description('fit a scaling law to losses over parameters, streams and data')
    .argument('[data]', 'CSV or JSON file with the points')
    .addOption(datasetOption)
    .addOption(lawOption)
    .addOption(bootstrapOption)
    .addOption(seedOption)
    .addOption(levelOption)
    .option('--plot <file>', 'draw the fit into a .svg or .png file')
    .option('--latex', 'print the law and its parameters as LaTeX')
    .option('--json', 'print everything as JSON')
    .addHelpText('after', examples)
    .action(async (file, flags) => {
      const level = checkLevel(flags.level)
      const { source, points } = await readPoints(file, flags.dataset)
      const fit = fitLaw(chooseLaw(flags.law, points), points)
      if (!fit.law.needs.includes('D') && new Set(points.map(({ D }) => D)).size > 1) {
        io.stderr(`warning: D varies in the data and the ${fit.law.name} law does not look at it\n`)
      }
      const thetas = await bootstrapWithProgress(fit, flags.bootstrap, flags.seed, io)
      const intervals = thetas.length === 0 ? undefined : parameterIntervals(fit, thetas, level)
      const report: Report = { source, fit, thetas, level, intervals, ...compareLaws(fit) }
      if (flags.json) io.stdout(`${JSON.stringify(toJson(report, flags.seed), null, 2)}\n`)
      else io.stdout(flags.latex ? toLatex(report) : toText(report))
      if (flags.plot !== undefined) {
        await writePlot(flags.plot, [fitChart(fit, thetas), contourChart(fit), residualChart(fit)])
        io.stderr(`drawn into ${flags.plot}\n`)
      } else if (!flags.json && !flags.latex) io.stdout(`\n${renderTerminal(fitChart(fit))}`)
    })
}

/** Every law that these points can determine, beside the chosen one. */
function compareLaws(chosen: Fit): Pick<Report, 'comparison' | 'ratio'> {
  const fits = lawNames.flatMap((name) => {
    if (name === chosen.law.name) return [chosen]
    // With D in the data, a law without D would explain its effect as noise: the two kinds are not compared.
    if (laws[name].needs.includes('D') !== chosen.law.needs.includes('D')) return []
    try {
      return [fitLaw(laws[name], chosen.points)]
    } catch (error) {
      if (isParscaleError(error) && error.kind === 'usage') return [] // these points do not determine it
      throw error
    }
  })
  const nested = fits.find(({ law }) => law.name === chosen.law.nested)
  return {
    comparison: compareFits(fits),
    ratio: nested === undefined ? undefined : { against: nested.law.name, ...likelihoodRatio(chosen, nested) },
  }
}

function toJson({ source, fit, thetas, level, intervals, comparison, ratio }: Report, seed: number) {
  return {
    source,
    law: fit.law.name,
    formula: fit.law.formula,
    params: fit.params,
    paper: paperValues(source, fit),
    intervals,
    bootstrap: { refits: thetas.length, seed, level },
    r2: fit.r2,
    objective: fit.objective,
    starts: fit.starts,
    startsNearBest: fit.startsNearBest,
    points: fit.residuals.map(({ point, predicted, error }) => ({ ...point, predicted, error })),
    comparison: comparison.map(({ fit, ...rest }) => ({
      law: fit.law.name,
      params: fit.params,
      objective: fit.objective,
      r2: fit.r2,
      ...rest,
    })),
    likelihoodRatio: ratio,
  }
}

function toText({ source, fit, thetas, level, intervals, comparison, ratio }: Report): string {
  const interval = (name: string) => {
    const found = intervals?.[name]
    return found === undefined ? [] : [significant(found.low), significant(found.high)]
  }
  const percent = `${Number((100 * level).toPrecision(4))} %`
  const printed = paperValues(source, fit)
  const head = [
    'parameter',
    'value',
    ...(intervals === undefined ? [] : [`${percent} from`, 'to']),
    ...(printed === undefined ? [] : ['paper']),
  ]
  const parameters = Object.entries(fit.params).map(([name, value]) => [
    name,
    significant(value),
    ...interval(name),
    ...(printed === undefined ? [] : [significant(printed[name]!)]),
  ])
  const residuals = fit.residuals.map(({ point, predicted, error }) => [
    significant(point.N),
    String(point.P),
    ...(point.D === undefined ? [] : [significant(point.D)]),
    significant(point.loss, 6),
    predicted.toFixed(4),
    error.toFixed(4),
  ])
  const rows = comparison.map((row) => [
    row.fit.law.name === fit.law.name ? `* ${row.fit.law.name}` : `  ${row.fit.law.name}`,
    String(row.fit.law.parameters.length),
    row.fit.r2.toFixed(5),
    row.aic.toFixed(1),
    row.bic.toFixed(1),
    row.leaveOneSizeOutError === undefined ? '-' : `${(100 * row.leaveOneSizeOutError).toFixed(3)} %`,
  ])
  return [
    `${fit.law.title}: loss = ${fit.law.formula}\n`,
    `${fit.points.length} points (${source}); ${fit.startsNearBest} of ${fit.starts} starts came within 1 % of the best\n\n`,
    textTable([head, ...parameters]),
    `\nR2 ${fit.r2.toFixed(4)}   objective ${fit.objective.toExponential(5)}`,
    thetas.length === 0 ? '\n\n' : `   intervals from ${thetas.length} refits\n\n`,
    textTable([['N', 'P', ...(fit.points[0]!.D === undefined ? [] : ['D']), 'loss', 'predicted', 'error'], ...residuals]),
    '\n',
    textTable([['  law', 'parameters', 'R2', 'AIC', 'BIC', 'error on a size left out'], ...rows]),
    ratio === undefined
      ? ''
      : `\nagainst ${ratio.against}: likelihood ratio ${ratio.statistic.toFixed(2)}, p = ${ratio.pValue.toExponential(1)}\n`,
  ].join('')
}

/** What the paper prints for its own points and law; undefined for anything else. */
function paperValues(source: string, { law }: Fit): Readonly<Record<string, number>> | undefined {
  return law.name === 'log' ? publishedFits[source as DatasetName] : undefined
}

function toLatex({ fit, intervals, level }: Report): string {
  const value = (x: number) => significant(x).replace(/^(.*)e\+?(-?\d+)$/, '$1 \\times 10^{$2}')
  const rows = fit.law.parameters.map(({ name, latex }) => {
    const interval = intervals?.[name]
    const range = interval === undefined ? '' : ` & $[${value(interval.low)}, ${value(interval.high)}]$`
    return `$${latex}$ & $${value(fit.params[name]!)}$${range} \\\\`
  })
  const percent = `${Number((100 * level).toPrecision(4))}\\,\\%`
  return [
    `\\[ ${fit.law.latex} \\]`,
    `\\begin{tabular}{l${intervals === undefined ? 'r' : 'rr'}}`,
    `parameter & value${intervals === undefined ? '' : ` & ${percent} interval`} \\\\ \\hline`,
    ...rows,
    `$R^2$ & $${fit.r2.toFixed(4)}$${intervals === undefined ? '' : ' &'} \\\\`,
    '\\end{tabular}\n',
  ].join('\n')
}
