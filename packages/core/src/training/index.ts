export { freshModel } from './fresh-model.ts'
export { type InitialOptions, initialParameters, requireFiniteParameters } from './initial-parameters.ts'
export { type BatchShape, type LossPlan, nextTokenLoss, nextTokenSurprisals } from './loss.ts'
export { LossEvaluation } from './loss-evaluation.ts'
export { lossFeeds, positionFeeds, type TokenBatch, tokenFeeds } from './loss-feeds.ts'
export { modelCard, type ResultSummary, type RunSummary, type StageSummary } from './model-card.ts'
export { type AdamWOptions, decays } from './optimizer.ts'
export { mergePrefixes, prefixMlpParameters } from './prefix-mlp.ts'
export { needsBase, type RecipeName, type RecipeWishes, recipeNames, recipes } from './recipes.ts'
export { parseRunConfig, type RunConfig, type Stage, stageSchedule, stageStreams } from './run-config.ts'
export { learningRate, type Schedule, validateSchedule } from './schedules.ts'
export { type Evaluation, sequenceLosses } from './sequence-losses.ts'
export { estimateEvaluationMemory, estimateTrainingMemory, stepFlops, type TrainingMemory } from './step-cost.ts'
export { type TextBackbone, textPieces, textPrefixes } from './text-prefixes.ts'
export { type StepOptions, type StepReport, type TrainState, TrainStep } from './train-step.ts'
export { evaluationGraph, gradientGraph, pieceUpdateGraph, type TrainPlan, updateGraph } from './train-step-graphs.ts'
export { pieceElements } from './train-step-update.ts'
export {
  modelParameters,
  type SavedState,
  type StepRecord,
  stageAt,
  stagePlan,
  Trainer,
  type TrainerInputs,
  type TrainerPosition,
  totalSteps,
} from './trainer.ts'
