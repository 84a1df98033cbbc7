export { safeParse } from '../safe-parse.ts'
export { parseRunConfig } from './run/parse-run-config.ts'
export { needsBase, type RecipeName, type RecipeOptions, recipeNames, recipes } from './run/recipes.ts'
export { type RunConfig, runConfigSchema, type Stage, smoothingAt, stageSchedule, stageStreams } from './run/run-config.ts'
export {
  type FinalEvaluation,
  parseFinalEvaluation,
  parseMetrics,
  parseSavedRun,
  requireTrained,
  type SavedRun,
  type TrainerPosition,
} from './run/saved-run.ts'
export { learningRate, type Schedule, validateSchedule } from './run/schedules.ts'
export { estimateEvaluationMemory, estimateTrainingMemory, stepFlops, type TrainingMemory } from './run/step-cost.ts'
export {
  modelParameters,
  requireShareable,
  type SavedState,
  type StepRecord,
  stageAt,
  stagePlan,
  sumsInTree,
  Trainer,
  type TrainerInputs,
  totalSteps,
  trainedParameters,
} from './run/trainer.ts'
export { unusedKeys } from './run/unused-keys.ts'
export { firstStreams, hasFirstStreams } from './start/first-streams.ts'
export { freshModel } from './start/fresh-model.ts'
export { type InitialOptions, initialParameters, requireFiniteParameters } from './start/initial-parameters.ts'
export { mergePrefixes, prefixMlpParameters } from './start/prefix-mlp.ts'
export { type TextBackbone, textPieces, textPrefixes } from './start/text-prefixes.ts'
export type { TrainingAids } from './step/aids.ts'
export { evaluationGraph, gradientGraph, pieceUpdateGraph, type TrainPlan, updateGraph } from './step/graphs.ts'
export {
  type BatchShape,
  type LossPlan,
  nextTokenLoss,
  nextTokenSurprisals,
  type TrainingLoss,
  trainingLoss,
} from './step/loss.ts'
export { LossEvaluation } from './step/loss-evaluation.ts'
export { lossFeeds, positionFeeds, type TokenBatch, tokenFeeds } from './step/loss-feeds.ts'
export { type AdamWOptions, decays } from './step/optimizer.ts'
export { passNoise } from './step/pass-noise.ts'
export { type Evaluation, sequenceLosses } from './step/sequence-losses.ts'
export { type StepOptions, type StepReport, type TrainState, TrainStep } from './step/train-step.ts'
export { pieceElements } from './step/update.ts'
export { ParallelStep, type StepTimes } from './workers/parallel-step.ts'
export { layOut } from './workers/pieces.ts'
export { type Flow, type StepTraffic, stepTraffic, type WorkerMemory, workerMemory } from './workers/traffic.ts'
export { agree, alone, firstsValue, gatherValues, type Message, meet, spreadFromFirst, type Workers } from './workers/workers.ts'
