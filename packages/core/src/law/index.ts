/** Scaling laws over parameters, streams and data: published points, fits, intervals, predictions, plots. Pure mathematics. */
export * from './bootstrap.ts'
export { parsePoints } from './data.ts'
export { coefficientOfDetermination, type Fit, fitLaw, gridOfStarts, huberDelta, objectiveAt, type Residual } from './fit.ts'
export { type Law, type LawName, lawNamed, lawNames, laws, lossAt, type Parameter } from './laws.ts'
export { groupBySize, type Point, type Setting } from './points.ts'
export { type Estimate, equivalentParameters, equivalentStreams, predictLoss, rangeWarnings, shortNumber } from './predict.ts'
export { type DatasetName, datasetNames, publishedFits, publishedPoints, publishedTokens } from './published.ts'
export { type Comparison, compareFits, type LikelihoodRatio, leaveOneSizeOut, likelihoodRatio } from './statistics.ts'
