export * from './code/index.ts'
export { type Comparison, collectComparison, compareIds } from './compare.ts'
export { type Alarm, alarmThresholds } from './diagnose/alarms.ts'
export type { StreamCorrelation } from './diagnose/correlation.ts'
export { type DiagnoseOptions, type Diagnosis, diagnose, diagnosisOf, type LossFigure } from './diagnose/diagnose.ts'
export { type MeasureOptions, measureStreams, type StreamMeasurement } from './diagnose/measure.ts'
export { histogramBins, type WeightStatistics } from './diagnose/weights.ts'
export type { Reader, ReadOptions, Texts } from './read-texts.ts'
export {
  collectScore,
  type Score,
  type ScoredPosition,
  type ScoreOptions,
  scoreIds,
  scorePositions,
  scoreTexts,
} from './score.ts'
