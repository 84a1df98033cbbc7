/** Describes a model from its headers: config and tensor shapes. It loads, unpacks and quantises nothing. */
import type { ModelConfig } from '@parscale/core/internal/checkpoint'
import { type OpenOptions, openModel, openModelStreamed } from './open-model.ts'

/** Enough to count and to plan with. */
export interface ModelOutline {
  readonly backbone: Outline
  readonly streamSets: readonly Outline[]
}

export interface Outline {
  readonly path: string
  readonly config: ModelConfig
  /** Element type and shape by name; of a GGUF file, under Hugging Face's names. */
  readonly tensors: OutlineTensors
  /** Those whose type is none of floats: data of quantised matrices. */
  readonly otherTensors?: OutlineTensors
  /** How many tensors are stored as which type, where they are made into something else while they are read. */
  readonly storedTypes?: Readonly<Record<string, number>>
}

type OutlineTensors = ReadonlyMap<string, { readonly dtype: string; readonly shape: readonly number[] }>

/** A model as it would run. @throws as openModel and openModelStreamed */
export async function outlineModel(model: string | undefined, options: OpenOptions = {}): Promise<ModelOutline> {
  const open = (await openModelStreamed(model, options)) ?? (await openModel(model, options))
  await open.close()
  return open
}
