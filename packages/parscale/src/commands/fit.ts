/** `parscale fit`: a scaling law from measured points, with intervals, residuals and a comparison of laws. */
import type { Command } from '@commander-js/extra-typings'
import { finishWithPauses, isParscaleError } from '@parscale/core/internal'
import {
  type BootstrapThetas,
  compareFits,
  contourChart,
  type Fit,
  fitChart,
  fittingLaw,
  lawNames,
  laws,
  likelihoodRatio,
  type Point,
  parameterIntervals,
  residualChart,
} from '@parscale/core/internal/law'
import { type Io, report } from '../terminal/io.ts'
import { drawInFile, drawInTerminal, plotOption } from '../terminal/plots.ts'
import { type FitReport, fitJson, fitLatex, fitText } from './fit-report.ts'
import {
  bootstrapOption,
  bootstrapWithProgress,
  checkLevel,
  datasetOption,
  fitPoints,
  lawOption,
  levelOption,
  readPoints,
  seedOption,
} from './law-options.ts'

const examples = `
Without DATA and --dataset, the published points of Stack-V2-Python. DATA is CSV with the columns N, P, loss and, if known, D (training tokens) and weight; or JSON, [{"N": 5.4e8, "P": 1, "loss": 1.17}, ...].

Examples:
  parscale fit --dataset stack-v2-python           the paper's Equation 5 from its 24 points
  parscale fit runs.csv --law joint-log --json     over N, P and D
  parscale fit runs.csv --plot fit.svg             curves with their band, contours, residuals`

export function register(command: Command, io: Io): void {
  command
    .argument('[data]', 'CSV or JSON file with the points')
    .addOption(datasetOption)
    .addOption(lawOption)
    .addOption(bootstrapOption)
    .addOption(seedOption)
    .addOption(levelOption)
    .addOption(plotOption)
    .option('--latex', 'print the law and its parameters as LaTeX')
    .option('--json', 'print everything as JSON')
    .addHelpText('after', examples)
    .action(async (file, flags) => {
      const { report: found, thetas } = await fitReport(await readPoints(file, flags.dataset), flags, io)
      const { fit } = found
      if (flags.plot !== undefined) {
        await drawInFile(io, flags.plot, [fitChart(fit, thetas), contourChart(fit), residualChart(fit)])
      }
      if (flags.json) io.stdout(`${JSON.stringify(fitJson(found), null, 2)}\n`)
      else if (flags.latex) io.stdout(fitLatex(found))
      else {
        report(io, fitText(found, io.columns))
        if (flags.plot === undefined) drawInTerminal(io, fitChart(fit))
      }
    })
}

/** A fit with all that is said of it, and the refits. */
export async function fitReport(
  data: Pick<FitReport, 'source' | 'dataset'> & { readonly points: readonly Point[] },
  flags: { readonly law?: string; readonly bootstrap: number; readonly seed: number; readonly level: number },
  io: Io,
): Promise<{ report: FitReport; thetas: BootstrapThetas }> {
  const level = checkLevel(flags.level)
  const { source, dataset, points } = data
  const fit = await fitPoints(flags.law, points, io)
  if (!fit.law.needs.includes('D') && new Set(points.map(({ D }) => D)).size > 1) {
    io.stderr(`warning: D varies in the data and the ${fit.law.name} law does not look at it\n`)
  }
  const thetas = await bootstrapWithProgress(fit, flags.bootstrap, flags.seed, io)
  const report = {
    ...{ source, dataset, fit },
    bootstrap: { refits: thetas.length, seed: flags.seed, level },
    intervals: thetas.length === 0 ? undefined : parameterIntervals(fit, thetas, level),
    ...(await compareLaws(fit, io)),
  }
  return { report, thetas }
}

/** Every law that these points can determine, beside the chosen one. */
async function compareLaws(chosen: Fit, { signal }: Io): Promise<Pick<FitReport, 'comparison' | 'ratio'>> {
  const fits: Fit[] = []
  for (const name of lawNames) {
    // With D in the data, a law without D would explain its effect as noise: the two kinds are not compared.
    if (laws[name].needs.includes('D') !== chosen.law.needs.includes('D')) continue
    try {
      fits.push(name === chosen.law.name ? chosen : await finishWithPauses(fittingLaw(laws[name], chosen.points), { signal }))
    } catch (error) {
      if (!isParscaleError(error) || error.kind !== 'usage') throw error // else these points do not determine it
    }
  }
  const nested = fits.find(({ law }) => law.name === chosen.law.nested)
  return {
    comparison: compareFits(fits),
    ratio: nested === undefined ? undefined : { against: nested.law.name, ...likelihoodRatio(chosen, nested) },
  }
}
