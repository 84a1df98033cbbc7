/** What a parallel-scaled model costs: parameters, memory, latency, training; the paper's own model and ours. Pure arithmetic. */
export * from './device-cost.ts'
export { type Device, deviceNamed, devices } from './devices.ts'
export * from './figure4.ts'
export { countMatrixWeights, countParameters, type ParameterCounts } from './parameters.ts'
export * from './plan.ts'
export { type WeightFormat, weightFormatNamed, weightFormats } from './quantisation.ts'
export {
  type ReferenceCost,
  type ReferenceLatency,
  type ReferenceMemory,
  referenceCost,
  referenceDevice,
  referenceFormulas,
  type Workload,
} from './reference.ts'
export { type ModelShape, type PublishedModel, publishedModel, publishedModels, qwenShape, validateShape } from './shapes.ts'
export * from './training.ts'
export * from './workers.ts'
