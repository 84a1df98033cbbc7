export { collectScore, type Score, type ScoredPosition, type ScoreOptions, scoreIds, scorePositions } from './score.ts'
