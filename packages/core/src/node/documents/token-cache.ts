/**
 * Tokenized data sets, made once and kept: a folder with two token files, for training and held out. It is found again by
 * the tokenizer, the files' names, sizes and times of change, and the options that decide what is in it.
 */
import { createHash, randomUUID } from 'node:crypto'
import { type FileHandle, mkdir, open, readdir, realpath, rename, rm, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { isParscaleError, resourceError, usageError } from '../../errors.ts'
import { createChatTemplate, createTokenizer, type TokenizerFiles } from '../../tokenizer/index.ts'
import { type DatasetSummary, datasetSummary } from '../../training/data/dataset-summary.ts'
import { tokenizerDigest } from '../../training/data/digest.ts'
import { type DocumentOptions, type SkipReason, skipReasons } from '../../training/data/documents.ts'
import { openTokenFile, type TokenFile } from '../../training/data/token-file.ts'
import { type TokenizeOptions, tokenizeDataset } from '../../training/data/tokenize-dataset.ts'
import { type FileSource, openFileSource } from '../disk/file-source.ts'
import { fileSink, syncFolder } from '../disk/write-folder.ts'
import { documentFiles, readDocuments } from './documents.ts'

export interface DatasetOptions
  extends Pick<DocumentOptions, 'field' | 'separator' | 'skipBad'>,
    Pick<TokenizeOptions, 'onProgress' | 'signal'> {
  /** Where token files are kept. */
  readonly cacheDirectory: string
  readonly tokenizerFiles: TokenizerFiles
  /** The data are conversations, of which the assistant's turns are learned. Default false. */
  readonly chat?: boolean
  /** Ends each text. Default: the tokenizer's own end-of-text token; null for none. */
  readonly eosTokenId?: number | null
  /** Share of documents to hold out, from 0 to below 1. Default 0.01. */
  readonly heldOutFraction?: number
  /** Decides which documents are held out. Default 0. */
  readonly seed?: number
}

export interface TokenizedDataset {
  readonly train: TokenFile
  readonly heldOut: TokenFile
  readonly summary: DatasetSummary
  /** Whether it was there already. */
  readonly fromCache: boolean
  readonly folder: string
  close(): Promise<void>
}

/** Part of the key: raised when the same data would give other tokens. */
const contentVersion = 1

/**
 * Opens the tokenized form of some files, made now if it is not in the cache or damaged there. It appears whole or not at
 * all; several processes may ask at once.
 *
 * @param names files, folders and patterns (documentFiles)
 * @throws usage error for data that cannot be used, checkpoint error for damaged files, resource error for a full disk
 */
export async function openDataset(names: readonly string[], options: DatasetOptions): Promise<TokenizedDataset> {
  const files = await documentFiles(names)
  const sources = await Promise.all(files.map(describeSource))
  const digest = await tokenizerDigest(options.tokenizerFiles)
  const folder = join(options.cacheDirectory, 'tokens', cacheKey(sources, digest, options))
  const cached = await openFolder(folder).catch(() => undefined) // damaged or not there: made anew
  if (cached) return { ...cached, fromCache: true }
  await writeFolder(folder, files, { sources, digest }, options)
  return { ...(await openFolder(folder)), fromCache: false }
}

interface Source {
  readonly name: string
  readonly sizeBytes: number
  readonly modifiedNs: string
}

async function describeSource(file: string): Promise<Source> {
  const name = await realpath(file)
  const { size, mtimeNs } = await stat(name, { bigint: true })
  return { name, sizeBytes: Number(size), modifiedNs: String(mtimeNs) }
}

function cacheKey(sources: readonly Source[], digest: string, options: DatasetOptions): string {
  const { field, separator, skipBad = false, chat = false, eosTokenId, heldOutFraction, seed } = withDefaults(options)
  const parts = [contentVersion, digest, sources, field, separator, skipBad, chat, eosTokenId, heldOutFraction, seed]
  // `undefined`, unlike null, has to differ from null: no end-of-text token is not the tokenizer's own.
  const text = JSON.stringify(parts, (_, value) => (value === undefined ? { default: true } : value))
  return createHash('sha256').update(text).digest('hex').slice(0, 24)
}

const withDefaults = (options: DatasetOptions) => ({
  ...options,
  heldOutFraction: options.heldOutFraction ?? 0.01,
  seed: options.seed ?? 0,
})

const trainName = 'train.tokens'
const heldOutName = 'held-out.tokens'

async function openFolder(folder: string): Promise<Omit<TokenizedDataset, 'fromCache'>> {
  const sources: FileSource[] = []
  const close = async () => void (await Promise.all(sources.map((source) => source.close())))
  try {
    const opened: TokenFile[] = []
    for (const name of [trainName, heldOutName]) {
      const source = await openFileSource(join(folder, name))
      sources.push(source)
      opened.push(await openTokenFile(source))
    }
    const [train, heldOut] = opened as [TokenFile, TokenFile]
    const { summary } = train.about as { summary: unknown }
    return { train, heldOut, summary: datasetSummary.parse(summary), folder, close }
  } catch (error) {
    await close()
    throw error
  }
}

async function writeFolder(
  folder: string,
  files: readonly string[],
  { sources, digest }: { readonly sources: readonly Source[]; readonly digest: string },
  options: DatasetOptions,
): Promise<void> {
  const { field, separator, skipBad, chat, tokenizerFiles, ...rest } = withDefaults(options)
  const tokenizer = createTokenizer(tokenizerFiles)
  const chatTemplate = chat ? createChatTemplate(tokenizerFiles, tokenizer) : undefined
  if (chat && !chatTemplate)
    throw usageError('chat: the tokenizer has no chat template; name a model that has one', { flag: 'chat' })
  const skipped = Object.fromEntries(skipReasons.map((reason) => [reason, 0])) as Record<SkipReason, number>
  const onSkip = (reason: SkipReason): void => void skipped[reason]++
  const documents = readDocuments(files, { field, separator, skipBad, onSkip })
  await removeAbandoned(dirname(folder))
  const temporary = `${folder}${partialMark}${randomUUID()}`
  const handles: FileHandle[] = []
  try {
    await mkdir(temporary, { recursive: true })
    const [train, heldOut] = [await open(join(temporary, trainName), 'wx'), await open(join(temporary, heldOutName), 'wx')]
    handles.push(train, heldOut)
    const sinks = { train: fileSink(train), heldOut: fileSink(heldOut) }
    await tokenizeDataset(documents, sinks, { ...rest, tokenizer, chatTemplate, tokenizerDigest: digest, sources, skipped })
    for (const handle of handles) await handle.sync()
    await closeAll(handles)
    await syncFolder(temporary)
    await moveInto(temporary, folder)
    await syncFolder(dirname(folder))
  } catch (error) {
    await closeAll(handles)
    await rm(temporary, { recursive: true, force: true })
    throw namedError(error, folder)
  }
}

/** Between a folder's name and what tells unfinished ones apart. */
const partialMark = '.partial-'
const abandonedAfterMs = 24 * 3600 * 1000

/** Removes what killed processes left: unfinished folders whose files have not grown for a day. */
async function removeAbandoned(parent: string): Promise<void> {
  const entries = await readdir(parent).catch(() => [])
  for (const entry of entries.filter((name) => name.includes(partialMark))) {
    const written = await stat(join(parent, entry, trainName)).catch(() => undefined)
    if (written && Date.now() - written.mtimeMs > abandonedAfterMs)
      await rm(join(parent, entry), { recursive: true, force: true })
  }
}

const closeAll = async (handles: FileHandle[]): Promise<void> => {
  for (const handle of handles.splice(0)) await handle.close()
}

/** Puts a whole folder in place. One that is there is damaged, or another process's made meanwhile, which is as good. */
async function moveInto(temporary: string, folder: string): Promise<void> {
  try {
    await rename(temporary, folder)
  } catch {
    const other = await openFolder(folder).catch(() => undefined)
    await other?.close()
    await rm(other ? temporary : folder, { recursive: true, force: true })
    if (!other) await rename(temporary, folder)
  }
}

function namedError(error: unknown, folder: string): unknown {
  if (isParscaleError(error)) return error
  const { code } = error as NodeJS.ErrnoException
  if (code !== 'ENOSPC' && code !== 'EDQUOT') return error
  const message = `${folder}: the disk is full; nothing was left behind. Free some space or choose another cache`
  return resourceError(message, { file: folder, cause: error })
}
