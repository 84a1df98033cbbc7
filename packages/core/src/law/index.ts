/** Scaling laws over parameters, streams and data: published points, fits, intervals, predictions, plots. Pure mathematics. */
export * from './bootstrap.ts'
export { parsePoints } from './data.ts'
export {
  coefficientOfDetermination,
  type Fit,
  fitLaw,
  fittingLaw,
  gridOfStarts,
  huberDelta,
  objectiveAt,
  type Residual,
} from './fit.ts'
export { undeterminedParameters } from './identified.ts'
export { type Law, type LawName, lawNamed, lawNames, laws, lossAt, type Parameter } from './laws.ts'
export type { Axis, Chart, Series, XY } from './plot/chart.ts'
export { contourChart, fitChart, residualChart } from './plot/fit.ts'
export { renderSvg } from './plot/svg.ts'
export { grey, palette } from './plot/svg-series.ts'
export { renderTerminal } from './plot/terminal.ts'
export { groupBySize, type Point, type Setting, shortNumber } from './points.ts'
export { type Estimate, equivalentParameters, equivalentStreams, predictLoss, rangeWarnings } from './predict.ts'
export { fitWithinPrintedDigits } from './printed-digits.ts'
export { type DatasetName, datasetNames, publishedFits, publishedPoints, publishedTokens } from './published.ts'
export { type Comparison, compareFits, type LikelihoodRatio, leaveOneSizeOut, likelihoodRatio } from './statistics.ts'
