/**
 * Tokenized data sets, made once and kept: a folder with two token files, for training and held out. It is found again by
 * the tokenizer, the files' names, sizes and times of change, and the options that decide what is in it.
 */
import { createHash } from 'node:crypto'
import { realpath, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { checkpointError, usageError } from '../../errors.ts'
import { createChatTemplate, createTokenizer, type TokenizerFiles } from '../../tokenizer/index.ts'
import { type DatasetSummary, datasetSummary } from '../../training/data/dataset-summary.ts'
import { tokenizerDigest } from '../../training/data/digest.ts'
import { type DocumentOptions, type SkipReason, skipReasons } from '../../training/data/documents.ts'
import { openTokenFile, type TokenFile } from '../../training/data/token-file.ts'
import { type TokenizeOptions, tokenizeDataset } from '../../training/data/tokenize-dataset.ts'
import { cacheAdvice } from '../disk/disk-error.ts'
import { type FileSource, openFileSource } from '../disk/file-source.ts'
import { isDamaged } from '../disk/hashes.ts'
import { markInUse } from '../disk/in-use.ts'
import { removeLeftovers } from '../disk/partial.ts'
import { writeNewFile } from '../disk/whole-file.ts'
import { noteUse, writeWholeFolder } from '../disk/whole-folder.ts'
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
  /** Called with the folder where it was there already. */
  readonly onFound?: (folder: string) => void
}

/** A tokenized data set: training and held-out token files, and their summary. */
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
  if (cached) {
    await markInUse(folder)
    await noteUse(folder)
    options.onFound?.(folder)
    return { ...cached, fromCache: true }
  }
  await writeFolder(folder, files, { sources, digest }, options)
  await markInUse(folder)
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
  if (await isDamaged(folder)) throw checkpointError(`${folder}: was found damaged; it is made anew`, { file: folder })
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
  const documents = readDocuments(files, { field, separator, skipBad, onSkip, signal: rest.signal })
  const tokenizing = { ...rest, tokenizer, chatTemplate, tokenizerDigest: digest, sources, skipped }
  const write = (partial: string) =>
    writeNewFile(join(partial, trainName), (train) =>
      writeNewFile(join(partial, heldOutName), (heldOut) => tokenizeDataset(documents, { train, heldOut }, tokenizing)),
    )
  await removeLeftovers(dirname(folder), 'old')
  await writeWholeFolder(folder, write, {
    advice: cacheAdvice,
    source: files.join(', '),
    signal: options.signal,
    replace: () => isUnusable(folder),
  })
}

/** False for a folder that another process made meanwhile, which is as good. */
async function isUnusable(folder: string): Promise<boolean> {
  const other = await openFolder(folder).catch(() => undefined)
  await other?.close()
  return other === undefined
}
