/** The shape that `cost` and `plan` reckon with: a published size by name, a config.json, a checkpoint, or numbers given by hand. */
import { readFile } from 'node:fs/promises'
import { type ParscaleError, usageError } from '@parscale/core/internal'
import { isTied, type ModelConfig, parseModelConfig } from '@parscale/core/internal/checkpoint'
import { type ModelShape, publishedModel, publishedModels, qwenShape, validateShape } from '@parscale/core/internal/cost'
import {
  backboneParameters,
  hasStreams,
  type Parameter,
  parscaleConfig,
  plainFeatures,
  streamParameters,
} from '@parscale/core/internal/model'
import { examineModel } from '../load/examine.ts'

export interface ShapeFlags {
  readonly hidden?: number
  readonly intermediate?: number
  readonly layers?: number
  readonly heads?: number
  readonly kvHeads?: number
  readonly headDim?: number
  readonly vocab?: number
  readonly prefixTokens?: number
  readonly untied?: true
}

export interface NamedShape {
  readonly name: string
  readonly shape: ModelShape
  /** P of the checkpoint; undefined where the source does not say. */
  readonly P?: number
  /** What is wrong with the checkpoint, whose config.json the shape is then. */
  readonly problems?: readonly ParscaleError[]
}

/** Published prefix length, for models that have no streams yet. */
const defaultPrefixTokens = 48

/**
 * @param model '1.6B' (the paper's sizes), ParScale/ParScale-1.8B-P8 (the hub's names), a config.json, or what `inspect` takes.
 *   Without it the flags must give hidden, intermediate, layers and heads.
 */
export async function resolveShape(model: string | undefined, flags: ShapeFlags, env: NodeJS.ProcessEnv): Promise<NamedShape> {
  const found = model === undefined ? shapeByHand(flags) : await shapeOfModel(model, env)
  const { shape } = found
  const [hidden, heads] = [flags.hidden ?? shape.hiddenSize, flags.heads ?? shape.numAttentionHeads]
  // Heads share the hidden size, unless the model or --head-dim says otherwise.
  const headDim = hidden === shape.hiddenSize && heads === shape.numAttentionHeads ? shape.headDim : hidden / heads
  const changed: ModelShape = {
    ...shape,
    hiddenSize: hidden,
    intermediateSize: flags.intermediate ?? shape.intermediateSize,
    numHiddenLayers: flags.layers ?? shape.numHiddenLayers,
    numAttentionHeads: heads,
    numKeyValueHeads: flags.kvHeads ?? shape.numKeyValueHeads,
    headDim: flags.headDim ?? headDim,
    vocabSize: flags.vocab ?? shape.vocabSize,
    prefixTokens: flags.prefixTokens ?? shape.prefixTokens,
    tiedEmbeddings: flags.untied ? false : shape.tiedEmbeddings,
  }
  return { ...found, shape: validateShape(changed) }
}

function shapeByHand({ hidden, intermediate, layers, heads, kvHeads }: ShapeFlags): NamedShape {
  if (hidden === undefined || intermediate === undefined || layers === undefined || heads === undefined) {
    const sizes = publishedModels.map(({ name }) => name).join(', ')
    throw usageError(
      `name a MODEL (${sizes}, a config.json, a checkpoint), or give --hidden, --intermediate, --layers and --heads`,
      { flag: 'MODEL' },
    )
  }
  const shape = {
    ...qwenShape(hidden, intermediate),
    numHiddenLayers: layers,
    numAttentionHeads: heads,
    numKeyValueHeads: kvHeads ?? heads,
    headDim: hidden / heads,
  }
  return { name: `${layers} x ${hidden}`, shape }
}

async function shapeOfModel(model: string, env: NodeJS.ProcessEnv): Promise<NamedShape> {
  if (/^[\d.]+B$/.test(model)) return { name: model, shape: publishedModel(model).shape }
  const [, size, streams] = /^(?:ParScale\/)?ParScale-(?:Qwen(?:Init)?-)?([\d.]+B)-P(\d+)/.exec(model) ?? []
  const published = publishedModels.find(({ checkpointName }) => checkpointName === size)
  if (published !== undefined) return { name: published.name, shape: published.shape, P: Number(streams) }
  if (model.endsWith('.json')) {
    const config = parseModelConfig(await readJson(model), model)
    return { name: model, shape: shapeOfConfig(config, config.tieWordEmbeddings ?? true), P: config.parscale.n }
  }
  const { outline, problems } = await examineModel(model, { env })
  const { config } = outline.backbone
  return { name: model, shape: shapeOfConfig(config, isTied(outline.backbone)), P: config.parscale.n, problems }
}

async function readJson(file: string): Promise<unknown> {
  try {
    return JSON.parse(await readFile(file, 'utf8'))
  } catch (cause) {
    throw usageError(`${file}: cannot be read as JSON: ${(cause as Error).message}`, { file, cause })
  }
}

/** Of a model's configuration; the plain model gets the published prefix length. */
export const shapeOfConfig = (config: ModelConfig, tiedEmbeddings: boolean): ModelShape => ({
  ...config,
  tiedEmbeddings,
  prefixTokens: hasStreams(config) ? config.parscale.nTokens : defaultPrefixTokens,
  ...(hasStreams(config) ? { streams: config.parscale } : {}),
})

/** Every tensor of a model of this shape with P streams: what is trained where nothing is frozen. */
export function parametersOfShape(shape: ModelShape, P: number): Parameter[] {
  const { streams } = shape
  const chosen = P === 1 && streams?.n !== 1 ? {} : (streams ?? {})
  const config: ModelConfig = {
    // Of these no size follows.
    modelType: 'qwen2_parscale',
    rmsNormEps: 1e-6,
    ropeTheta: 10_000,
    ropeScaling: { type: 'default' },
    maxPositionEmbeddings: 1,
    slidingWindows: new Array<null>(shape.numHiddenLayers).fill(null),
    bosTokenId: null,
    eosTokenIds: [],
    raw: {},
    ...shape,
    tieWordEmbeddings: shape.tiedEmbeddings,
    features: { ...plainFeatures, ...(shape.features as Partial<ModelConfig['features']> | undefined) },
    parscale: parscaleConfig({ ...chosen, n: P, nTokens: shape.prefixTokens }),
  }
  return [...backboneParameters(config, shape.tiedEmbeddings), ...streamParameters(config)]
}
