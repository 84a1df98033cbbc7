/** Loads a model to run: opens it, checks that it fits into memory, and starts it on the engine that runs it. */
import { type DecoderOptions, type Model, modelFiles, openText, type TextModel } from '@parscale/core/internal/generation'
import type { ModelFolder, WriteProgress } from '@parscale/core/internal/node'
import { type ChosenEngine, chooseEngine, type EngineChoice, prepareEngine, requireEngine, startModel } from './decode-engine.ts'
import { requireMemory } from './memory.ts'
import { cacheOptions, type OpenModel, type OpenOptions, openModel } from './open-model.ts'
import { type ModelOutline, outlineModel } from './outline.ts'

/** How a model is loaded: engine, device, threads, precision, and callbacks for progress. */
export interface LoadOptions extends OpenOptions, DecoderOptions {
  /** Default: auto, which is native code where it can run. */
  readonly engine?: EngineChoice | undefined
  /** Called before weights are loaded. */
  readonly onEngine?: (engine: ChosenEngine) => void
  /** Called while weights are packed for the native step for the first time. */
  readonly onPack?: (progress: WriteProgress) => void
  /** Checked against free memory before anything is loaded. Default: P of the model, 2048 tokens. */
  readonly p?: number
  readonly contextTokens?: number
}

/**
 * Loads a model to run.
 *
 * @throws resource error, with the numbers, when it will not fit into free memory; usage error for a P it does not have
 */
export async function loadModel(
  model?: string,
  options: LoadOptions = {},
): Promise<{ model: Model; backbone: ModelFolder; close(): Promise<void> }> {
  const open = await openToLoad(model, options)
  try {
    return { model: await startOpenModel(open, options), backbone: open.backbone, close: open.close }
  } catch (error) {
    await open.close()
    throw error
  }
}

/** Loads a model with its tokenizer and chat template. @throws as loadModel; checkpoint error when it has no tokenizer */
export async function loadTextModel(model?: string, options: LoadOptions = {}): Promise<TextModel> {
  const open = await openToLoad(model, options)
  try {
    return await openText(open.backbone, () => startOpenModel(open, options))
  } finally {
    await open.close()
  }
}

/** The engine that would run a model, and why. @throws as chooseEngine */
export const engineOf = (
  { backbone, streamSets }: ModelOutline,
  options: Pick<LoadOptions, 'engine' | keyof DecoderOptions>,
): Promise<ChosenEngine> =>
  chooseEngine(
    [backbone, ...streamSets].map(({ config }) => config),
    options,
  )

async function openToLoad(model: string | undefined, options: LoadOptions): Promise<OpenModel> {
  // Before the work of quantising, too.
  if (options.bits !== undefined) {
    const outline = await outlineModel(model, options)
    const chosen = await engineOf(outline, options)
    await requireEngine(chosen, options)
    requireMemory(outline, chosen.decoders, options)
  }
  return await openModel(model, options)
}

async function startOpenModel(open: OpenModel, options: LoadOptions): Promise<Model> {
  const model = await start(open, options).catch(async (error) => {
    await mustBeUnchanged(open)
    throw error
  })
  await mustBeUnchanged(open).catch(async (error) => {
    await model.dispose()
    throw error
  })
  return model
}

async function start(open: OpenModel, options: LoadOptions): Promise<Model> {
  const wanted = await engineOf(open, options)
  await requireEngine(wanted, options)
  requireMemory(open, wanted.decoders, options)
  const files = await modelFiles(open.backbone, open.streamSets)
  const engineOptions = { ...options, ...cacheOptions(options, options.onPack) }
  const chosen = await prepareEngine(wanted, files, engineOptions)
  if (chosen !== wanted) requireMemory(open, chosen.decoders, options)
  options.onEngine?.(chosen)
  return await startModel(chosen.engine, files, engineOptions)
}

/** Engines open the files once more, by their paths: another file there has other weights than its header said. */
async function mustBeUnchanged({ backbone, streamSets }: OpenModel): Promise<void> {
  for (const folder of [backbone, ...streamSets]) await folder.mustBeUnchanged()
}
