/** Makes a Trainer's inputs from a run's configuration: the model to start from, its tokenizer, the tokenized data. */
import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { checkpointError, usageError } from '@parscale/core/internal'
import { findTensor, readF32 } from '@parscale/core/internal/checkpoint'
import { modelFiles } from '@parscale/core/internal/generation'
import type { Parameter } from '@parscale/core/internal/model'
import {
  backboneDigest,
  checkInBackground,
  documentFiles,
  type ModelFolder,
  openDataset,
  readDocuments,
  type TokenizedDataset,
  textFiles,
  tokenizerFileBytes,
  writeWholeFile,
} from '@parscale/core/internal/node'
import type { Runtime } from '@parscale/core/internal/runtime'
import { createTokenizer, type Tokenizer, type TokenizerFiles, tokenizerFiles, trainBpe } from '@parscale/core/internal/tokenizer'
import {
  firstStreams,
  firstsValue,
  freshModel,
  gatherValues,
  hasFirstStreams,
  type RunConfig,
  requireFiniteParameters,
  type TrainerInputs,
} from '@parscale/core/internal/training'
import type { TokenFile } from '@parscale/core/internal/training/data'
import { cacheFolder } from '../load/find-model.ts'
import { openBase } from '../load/open-base.ts'
import { isStorageName } from '../storage/address.ts'
import { fetchData, fetchModel } from '../storage/fetch.ts'
import { fetchingOf } from '../storage/fetching.ts'
import type { Io } from '../terminal/io.ts'
import { requireSame, single, type Team } from './workers/join-workers.ts'

export interface RunInputs extends TrainerInputs {
  /** The model that the run starts from; undefined for a fresh one. */
  readonly base: ModelFolder | undefined
  readonly tokenizerFiles: TokenizerFiles
  readonly tokenizer: Tokenizer
  readonly dataset: TokenizedDataset
  close(): Promise<void>
}

/** Whether the backbone stays where it is: then only the streams are written. */
export const isFrozen = ({ config }: RunInputs): boolean => config.stages.at(-1)!.train === 'streams'

/**
 * Opens everything that a run reads. Of several workers the first one comes first: the others take its tokenizer, and find the data that it has
 * tokenized where they share a cache.
 *
 * @param tokenizerFolder where the run keeps the tokenizer that it trained, if it has one
 * @throws usage error for data or a model that do not go together, or not with those of another worker; errors of the readers
 */
export async function openRunInputs(
  io: Io,
  runtime: Runtime,
  config: RunConfig,
  { tokenizerFolder, team = single }: { readonly tokenizerFolder?: string; readonly team?: Team } = {},
): Promise<RunInputs> {
  const { workers } = team
  if (workers.size === 1) return await openOwnInputs(io, runtime, config, { tokenizerFolder })
  let inputs: RunInputs | undefined
  if (workers.rank === 0) inputs = await openOwnInputs(io, runtime, config, { tokenizerFolder })
  const tokenizer = (await firstsValue(workers, inputs?.tokenizerFiles)) as TokenizerFiles
  inputs ??= await openOwnInputs(io, runtime, config, { tokenizer })
  try {
    await requireSame(team, { data: await workerMark(inputs, team, io.signal) })
    return { ...inputs, workers }
  } catch (error) {
    await inputs.close()
    throw error
  }
}

/** What has to be the same for all workers, besides the configuration. */
async function workerMark({ base, dataset }: RunInputs, { workers, hosts }: Team, signal: AbortSignal): Promise<unknown> {
  const { train, heldOut, summary } = dataset
  const places = await gatherValues(workers, [hosts[workers.rank], dataset.folder])
  // Of one folder the hashes are the same.
  const shared = places.every((place) => JSON.stringify(place) === JSON.stringify(places[0]))
  return {
    trainTokens: train.tokens,
    heldOutTokens: heldOut.tokens,
    textBytes: summary.textBytes,
    ...(!shared && { trainSha256: await tokenDigest(train, signal), heldOutSha256: await tokenDigest(heldOut, signal) }),
    ...(base && { baseSha256: await backboneDigest(base, signal) }),
  }
}

async function tokenDigest(file: TokenFile, signal: AbortSignal): Promise<string> {
  const hash = createHash('sha256')
  const block = 1 << 22
  for (let start = 0; start < file.tokens; start += block) {
    signal.throwIfAborted()
    const { ids, counted } = await file.read(start, Math.min(block, file.tokens - start))
    hash.update(Uint32Array.from(ids))
    if (counted) hash.update(counted)
  }
  return hash.digest('hex')
}

async function openOwnInputs(
  io: Io,
  runtime: Runtime,
  config: RunConfig,
  given: { readonly tokenizerFolder?: string | undefined; readonly tokenizer?: TokenizerFiles },
): Promise<RunInputs> {
  const opened: { close(): Promise<void> }[] = []
  const close = async () => void (await Promise.all(opened.map((each) => each.close())))
  try {
    const base = config.base === null ? undefined : await openBase(io, config.base)
    if (base) opened.push(base)
    const data = await fetchData(config.data.files, fetchingOf(io))
    const files = given.tokenizer ?? (await tokenizerOf(io, config, data, base, given.tokenizerFolder))
    const tokenizer = createTokenizer(files)
    const dataset = await openData(io, config, data, files)
    opened.push(dataset)
    const backbone = base?.config ?? freshModel(config.shape!, tokenizer)
    const { summary } = dataset
    if (summary.largestTokenId >= backbone.vocabSize) {
      throw usageError(
        `data: token id ${summary.largestTokenId} is beyond the model's vocabulary of ${backbone.vocabSize}; the tokenizer belongs to another model`,
        { expected: backbone.vocabSize, found: summary.largestTokenId },
      )
    }
    const model = base && (await modelFiles(base))
    return {
      runtime,
      config,
      backbone,
      tied: model?.tied ?? backbone.tieWordEmbeddings ?? false,
      frozen: model?.findWeight ?? missingWeight,
      stored: storedParameters(base, config),
      train: dataset.train,
      heldOut: dataset.heldOut,
      base,
      tokenizerFiles: files,
      tokenizer,
      dataset,
      close,
    }
  } catch (error) {
    await close()
    throw error
  }
}

/** What the base has of a parameter: of streams the first, where fewer are wanted; none of another kind. */
function storedParameters(base: ModelFolder | undefined, { streams, stages }: RunConfig): TrainerInputs['stored'] {
  return async ({ name, shape, part }: Parameter) => {
    const tensor = base && findTensor(base, name)
    const ofStreams = part === 'prefix' || part === 'adapter' || part === 'aggregation'
    const counts = { stored: base?.config.parscale.n ?? 1, wanted: stages.at(-1)!.p }
    if (!tensor || (ofStreams && (streams.reset || !hasFirstStreams(tensor.shape, shape, counts)))) return undefined
    const values = await readF32(tensor)
    requireFiniteParameters(new Map([[name, values]]), base.path)
    return ofStreams ? firstStreams(values, tensor.shape, shape, counts) : values
  }
}

const missingWeight: TrainerInputs['frozen'] = (name) => {
  throw checkpointError(`${name}: a fresh model has no stored weights`, { tensor: name })
}

/** Of the run, of the folder that is named, of the base, or trained now. */
async function tokenizerOf(
  io: Io,
  config: RunConfig,
  names: readonly string[],
  base: ModelFolder | undefined,
  own?: string,
): Promise<TokenizerFiles> {
  const folder = own ?? config.tokenizer
  if (folder !== null && folder !== undefined)
    return await readTokenizer(isStorageName(folder) ? await fetchModel(folder, fetchingOf(io)) : folder)
  if (base) return await tokenizerFiles(base)
  const progress = io.progress('training the tokenizer', 'documents')
  const { field, separator, skipBad } = config.data
  const files = await documentFiles(names)
  const signal = io.signal
  async function* texts() {
    let count = 0
    const options = { skipBad, ...(field !== null && { field }), ...(separator !== null && { separator }) }
    for await (const document of readDocuments(files, options)) {
      signal.throwIfAborted()
      if ('text' in document) yield document.text
      else for (const message of document.messages) yield message.content
      progress.update(++count)
    }
  }
  return await trainBpe(texts(), { vocabSize: config.vocabSize }).finally(() => progress.end())
}

const readTokenizer = (folder: string): Promise<TokenizerFiles> => tokenizerFiles(textFiles(folder))

/** Keeps a tokenizer with the run, so that going on does not depend on where it came from. */
export async function writeTokenizer(folder: string, files: TokenizerFiles): Promise<void> {
  for (const [name, bytes] of tokenizerFileBytes(files)) await writeWholeFile(join(folder, name), bytes)
}

async function openData(io: Io, config: RunConfig, names: readonly string[], files: TokenizerFiles): Promise<TokenizedDataset> {
  const { field, separator, skipBad, chat, heldOutFraction, heldOutSeed } = config.data
  const progress = io.progress('reading data', 'tokens')
  return await openDataset(names, {
    cacheDirectory: cacheFolder(io.env),
    tokenizerFiles: files,
    skipBad,
    chat,
    heldOutFraction,
    seed: heldOutSeed,
    ...(field !== null && { field }),
    ...(separator !== null && { separator }),
    signal: io.signal,
    onProgress: ({ tokens }) => progress.update(tokens),
    onFound: (folder) => io.background?.((signal) => checkInBackground(folder, signal)),
  }).finally(() => progress.end())
}
