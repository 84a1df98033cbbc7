/** Log-probabilities of texts, and what streams do. A promised subpath: names come and go with major versions only. */
export {
  type Comparison,
  compareIds,
  type DiagnoseOptions,
  type Diagnosis,
  diagnose,
  type Score,
  type ScoreOptions,
  scoreIds,
  scoreTexts,
} from '../evaluation/index.ts'
