/** Loads a model to run: opens it, checks that it fits into memory, and starts it on the engine that runs it. */
import type { ParscaleError } from '@parscale/core/internal'
import { requireStreamTensors } from '@parscale/core/internal/checkpoint'
import {
  type DecoderOptions,
  type Model,
  type ModelFiles,
  modelFiles,
  openText,
  type SchedulerOptions,
  type TextModel,
} from '@parscale/core/internal/generation'
import type { ModelFolder, WriteProgress } from '@parscale/core/internal/node'
import { type ChosenEngine, chooseEngine, type EngineChoice, prepareEngine, requireEngine, startModel } from './decode-engine.ts'
import { requireMemory } from './memory.ts'
import { cacheOptions, type OpenModel, type OpenOptions, openModel, openModelStreamed } from './open-model.ts'
import type { ModelOutline } from './outline.ts'

/** How a model is loaded: engine, device, threads, precision, and callbacks for progress. */
export interface LoadOptions extends OpenOptions, DecoderOptions {
  /** Default: auto, which is native code where it can run. */
  readonly engine?: EngineChoice | undefined
  /** Called before weights are loaded. */
  readonly onEngine?: (engine: ChosenEngine) => void
  /** Called while weights are packed for the native step for the first time. */
  readonly onPack?: (progress: WriteProgress) => void
  /** Called where packed weights cannot be kept, with why: they are packed in memory, at each start. */
  readonly onUnkept?: (reason: ParscaleError) => void
  /** Checked against free memory before anything is loaded. Default: P of the model, 2048 tokens. */
  readonly p?: number
  readonly contextTokens?: number
  /** What a text model's requests share. */
  readonly scheduling?: SchedulerOptions
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
    return await openText(open.backbone, () => startOpenModel(open, options), options.scheduling)
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

/** As the engine that will run it needs it. */
async function openToLoad(model: string | undefined, options: LoadOptions): Promise<OpenModel> {
  const open = await openModelStreamed(model, options)
  if (!open) return await openModel(model, options)
  try {
    const chosen = await engineOf(open, options)
    // Before the work of quantising.
    await requireEngine(chosen, options)
    for (const folder of [open.backbone, ...open.streamSets]) requireStreamTensors(folder)
    requireMemory(open, chosen.decoders, options)
    if (chosen.decoders.readsOnce) return open
  } catch (error) {
    await open.close()
    throw error
  }
  await open.close()
  return await openModel(model, options)
}

async function startOpenModel(open: OpenModel, options: LoadOptions): Promise<Model> {
  const started = await start(open, options).catch(async (error) => {
    await mustBeUnchanged(open)
    throw error
  })
  await mustBeUnchanged(open).catch(async (error) => {
    await started.dispose()
    throw error
  })
  return started
}

async function start(open: OpenModel, options: LoadOptions): Promise<Model> {
  const chosen = await engineOf(open, options)
  await requireEngine(chosen, options)
  const files = await checkedFiles(open, {
    unread: chosen.decoders.looksAtNumbers ?? false,
    onHeaders: () => requireMemory(open, chosen.decoders, options),
  })
  const engineOptions = { ...options, ...cacheOptions(options, options.onPack) }
  const unkept = await prepareEngine(chosen.engine, files, engineOptions)
  if (unkept) options.onUnkept?.(unkept)
  options.onEngine?.(chosen)
  return await startModel(chosen.engine, files, unkept ? { ...engineOptions, inMemory: true } : engineOptions)
}

/**
 * All that is asked of an open model before an engine starts, whether it is loaded or described (examine.ts).
 *
 * @param unread as in modelFiles
 * @param onHeaders called before numbers are read: of a config.json that belongs to other tensors no memory is worth asking for
 * @throws checkpoint or unsupported error for what is wrong with its files
 */
export async function checkedFiles(
  { backbone, streamSets }: Pick<OpenModel, 'backbone' | 'streamSets'>,
  { unread, onHeaders }: { readonly unread: boolean; readonly onHeaders?: () => void },
): Promise<ModelFiles> {
  for (const folder of [backbone, ...streamSets]) requireStreamTensors(folder)
  onHeaders?.()
  return await modelFiles(backbone, streamSets, { unread })
}

/** Engines open the files once more, by their paths: another file there has other weights than its header said. */
async function mustBeUnchanged({ backbone, streamSets }: OpenModel): Promise<void> {
  for (const folder of [backbone, ...streamSets]) await folder.mustBeUnchanged()
}
