/** What `parscale fit` found, as text, JSON or LaTeX. */
import {
  type Comparison,
  type DatasetName,
  type Fit,
  fitWithinPrintedDigits,
  type Interval,
  type LikelihoodRatio,
  publishedFits,
} from '@parscale/core/internal/law'
import { parameterText, percentText, significant, textTable } from '../terminal/text-table.ts'

export interface FitReport {
  /** How to call the data: a file or a corpus. */
  readonly source: string
  /** The corpus, where the points are the published ones. */
  readonly dataset: DatasetName | undefined
  readonly fit: Fit
  readonly bootstrap: { readonly refits: number; readonly seed: number; readonly level: number }
  /** By parameter; undefined without refits. */
  readonly intervals: Readonly<Record<string, Interval>> | undefined
  readonly comparison: readonly Comparison[]
  readonly ratio: (LikelihoodRatio & { readonly against: string }) | undefined
}

export function fitJson(report: FitReport) {
  const { source, fit, bootstrap, intervals, comparison, ratio } = report
  const paper = paperValues(report)
  return {
    source,
    law: fit.law.name,
    formula: fit.law.formula,
    params: fit.params,
    paper: paper && { ...paper.printed, bestWithinDigits: paper.bestWithinDigits },
    intervals,
    bootstrap,
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

/**
 * What the paper prints for its own points and law (undefined for anything else), and the best fit that rounds to it: for the Pile
 * the free optimum differs in the last digits, along a valley too flat for the data to tell.
 */
function paperValues({ dataset, fit }: FitReport): PaperValues | undefined {
  if (dataset === undefined || fit.law.name !== 'log') return undefined
  const { params, objective, r2, residuals } = fitWithinPrintedDigits(dataset)
  const differences = residuals.map(({ predicted }, i) => Math.abs(predicted - fit.residuals[i]!.predicted))
  return {
    printed: publishedFits[dataset],
    bestWithinDigits: { params, objective, r2, maxPredictionDifference: Math.max(...differences) },
  }
}

interface PaperValues {
  readonly printed: Readonly<Record<string, number>>
  readonly bestWithinDigits: Pick<Fit, 'params' | 'objective' | 'r2'> & { readonly maxPredictionDifference: number }
}

/** @param width of the terminal; absent: tables are as wide as they get */
export function fitText(report: FitReport, width?: number): string {
  const { source, fit, bootstrap } = report
  const paper = paperValues(report)
  return [
    `${fit.law.title}: loss = ${fit.law.formula}\n`,
    `${fit.points.length} points (${source}); ${fit.startsNearBest} of ${fit.starts} starts came within 1 % of the best\n\n`,
    parameterTable(report, paper, width),
    `\nR2 ${fit.r2.toFixed(4)}   objective ${fit.objective.toExponential(5)}`,
    bootstrap.refits === 0 ? '\n' : `   intervals from ${bootstrap.refits} refits, seed ${bootstrap.seed}\n`,
    paper === undefined ? '' : paperSentence(fit, paper),
    `\n${residualTable(fit, width)}`,
    `\n${comparisonTable(report, width)}`,
  ].join('')
}

function parameterTable({ fit, bootstrap, intervals }: FitReport, paper: PaperValues | undefined, width?: number): string {
  const interval = ({ low, high }: Interval) => [parameterText(low), parameterText(high)]
  const head = [
    ...['parameter', 'value'],
    ...(intervals === undefined ? [] : [`${percentText(bootstrap.level)} from`, 'to']),
    ...(paper === undefined ? [] : ['paper']),
  ]
  const rows = Object.entries(fit.params).map(([name, value]) => [
    name,
    parameterText(value),
    ...(intervals === undefined ? [] : interval(intervals[name]!)),
    ...(paper === undefined ? [] : [parameterText(paper.printed[name]!)]),
  ])
  return textTable([head, ...rows], { width })
}

function paperSentence(fit: Fit, { bestWithinDigits }: PaperValues): string {
  const { objective, r2, maxPredictionDifference } = bestWithinDigits
  const above = Math.max(0, 100 * (objective / fit.objective - 1))
  return [
    `the best parameters that round to the paper's: objective ${above.toFixed(5)} % higher, R2 ${r2.toFixed(4)},`,
    `predictions within ${maxPredictionDifference.toExponential(1)} of these\n`,
  ].join(' ')
}

function residualTable({ residuals, points }: Fit, width?: number): string {
  const withData = points.some(({ D }) => D !== undefined)
  const rows = residuals.map(({ point, predicted, error }) => [
    significant(point.N),
    String(point.P),
    ...(withData ? [point.D === undefined ? '-' : significant(point.D)] : []),
    significant(point.loss, 6),
    predicted.toFixed(4),
    error.toFixed(4),
  ])
  return textTable([['N', 'P', ...(withData ? ['D'] : []), 'loss', 'predicted', 'error'], ...rows], { width, keys: 2 })
}

function comparisonTable({ fit: chosen, comparison, ratio }: FitReport, width?: number): string {
  const rows = comparison.map(({ fit, aic, bic, leaveOneSizeOutError }) => [
    `${fit === chosen ? '*' : ' '} ${fit.law.name}`,
    String(fit.law.parameters.length),
    fit.r2.toFixed(5),
    aic.toFixed(1),
    bic.toFixed(1),
    leaveOneSizeOutError === undefined ? '-' : `${(100 * leaveOneSizeOutError).toFixed(3)} %`,
  ])
  const table = textTable([['  law', 'parameters', 'R2', 'AIC', 'BIC', 'error on a size left out'], ...rows], { width })
  if (ratio === undefined) return table
  return `${table}\nagainst ${ratio.against}: likelihood ratio ${ratio.statistic.toFixed(2)}, p = ${ratio.pValue.toExponential(1)}\n`
}

export function fitLatex({ fit, intervals, bootstrap }: FitReport): string {
  const value = (x: number) => parameterText(x).replace(/^(.*)e\+?(-?\d+)$/, '$1 \\times 10^{$2}')
  const rows = fit.law.parameters.map(({ name, latex }) => {
    const interval = intervals?.[name]
    const range = interval === undefined ? '' : ` & $[${value(interval.low)}, ${value(interval.high)}]$`
    return `$${latex}$ & $${value(fit.params[name]!)}$${range} \\\\`
  })
  const percent = percentText(bootstrap.level).replace(' %', '\\,\\%')
  return [
    `\\[ ${fit.law.latex} \\]`,
    `\\begin{tabular}{l${intervals === undefined ? 'r' : 'rr'}}`,
    `parameter & value${intervals === undefined ? '' : ` & ${percent} interval`} \\\\ \\hline`,
    ...rows,
    `$R^2$ & $${fit.r2.toFixed(4)}$${intervals === undefined ? '' : ' &'} \\\\`,
    '\\end{tabular}\n',
  ].join('\n')
}
