export { type AdapterTensor, adapterBank } from './adapter-bank.ts'
export { type BatchRow, batchFeeds, hiddenScore } from './batch.ts'
export { type BeamResult, type BeamSearchOptions, beamSearch } from './beam-search.ts'
export {
  choiceGrammar,
  type Grammar,
  GrammarConstraint,
  type GrammarOptions,
  inTurns,
  jsonObjectGrammar,
  type Pieces,
  regexGrammar,
  regexPieces,
  type SchemaOptions,
  schemaGrammar,
  schemaPieces,
  type TokenConstraint,
  TokenGrammar,
  TokenVocabulary,
  type Tool,
  type ToolForm,
  type ToolOptions,
  toolGrammar,
  toolPieces,
  type VocabularyOptions,
  vocabularyPieces,
} from './constrain/index.ts'
export { type DecoderKind, type DecoderOptions, type DecoderRefusal, graphDecoders, graphMemory } from './decoder-kind.ts'
export { Engine, logitsPerStep, rowTokensPerStep } from './engine.ts'
export { KvCache } from './kv-cache.ts'
export { logSoftmax, logSumExp, normaliserOf, type TokenLogprob, topLogprobs } from './log-probabilities.ts'
export { Model, type StreamSet } from './model.ts'
export { type ModelFiles, type ModelPlan, modelFiles, modelPlan, type StreamSetFiles, setsOf } from './model-files.ts'
export { openText } from './open-text.ts'
export type { PenaltyOptions } from './penalties.ts'
export {
  checkWithoutStreams,
  type Finished,
  type FinishReason,
  type GeneratedToken,
  PromptCache,
  type PromptToken,
  type TokenRequest,
} from './request.ts'
export { type Constraint, createSampler, type Sampler, type SamplingOptions, validateSampling } from './sampling.ts'
export { Scheduler, type SchedulerCounters, type SchedulerOptions } from './scheduler.ts'
export type { Sequence, StepResult, Work } from './sequence.ts'
export { createStopMatcher, type StopMatcher } from './stop-strings.ts'
export { Chat, TextModel, type TextOptions, type TextResult } from './text.ts'
export type { TextChunk, TextToken } from './text-pieces.ts'
export { type Channel, channel, drain } from './token-stream.ts'
export { weightsText } from './weights-text.ts'
