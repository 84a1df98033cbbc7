/** Describes a model from its headers: config and tensor shapes. It loads, unpacks and quantises nothing. */
import { stat } from 'node:fs/promises'
import { type ModelConfig, parseModelConfig, readGgufModel } from '@parscale/core/internal/checkpoint'
import { openFileSource } from '@parscale/core/internal/node/disk'
import { openModelPath, planQuantisation } from '@parscale/core/internal/node/models'
import { resolveModel } from './find-model.ts'
import { cacheOptions, type OpenOptions, openModel, streamSetPaths } from './open-model.ts'

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
}

type OutlineTensors = ReadonlyMap<string, { readonly dtype: string; readonly shape: readonly number[] }>

/** @throws as openModel and planQuantisation */
export async function outlineModel(model: string | undefined, options: OpenOptions = {}): Promise<ModelOutline> {
  const { bits, blockSize } = options
  const path = await resolveModel(model, options.env)
  if (bits !== undefined) {
    const { config, tensors } = await planQuantisation(path, { bits, blockSize })
    return { backbone: { path, config, tensors: byName(tensors) }, streamSets: await outlineStreamSets(path, options) }
  }
  if (options.streamSets || !/\.gguf$/i.test(path) || !(await stat(path)).isFile()) {
    const open = await openModel(path, options)
    await open.close()
    return open
  }
  const source = await openFileSource(path)
  try {
    const { configJson, tensors } = await readGgufModel(source)
    const outlines = tensors.map(({ name, shape, type }) => ({ name, shape, dtype: type }))
    return { backbone: { path, config: parseModelConfig(configJson, path), tensors: byName(outlines) }, streamSets: [] }
  } finally {
    await source.close()
  }
}

const byName = (tensors: readonly { name: string; dtype: string; shape: readonly number[] }[]): OutlineTensors =>
  new Map(tensors.map(({ name, dtype, shape }) => [name, { dtype, shape }]))

async function outlineStreamSets(path: string, options: OpenOptions): Promise<Outline[]> {
  const sets: Outline[] = []
  for (const set of await streamSetPaths(path, options)) {
    const open = await openModelPath(set, cacheOptions(options, options.onUnpack))
    await open.close()
    sets.push(open)
  }
  return sets
}
