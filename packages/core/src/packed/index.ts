export { stepMemory } from './memory.ts'
export { type PackedTensor, type PackPlan, planAggregator, planBackbone } from './pack-plan.ts'
export { packedBytes, type ReadStored } from './pack-tensors.ts'
export { formats, type Layout, lanes, packedWeightsText, planFile, type Role, recordBytes, tensorBytes } from './packed-layout.ts'
export { stepRefusal } from './refusal.ts'
export {
  type AdapterKind,
  type AdapterRoom,
  adapterKinds,
  averageOfStreams,
  type StepBatch,
  type StepOutput,
  stepBatch,
  writeAdapters,
} from './step.ts'
