/** Documents to the two token files of a data set, training and held-out, in one pass. */
import type { ByteSink } from '../../checkpoint/safetensors-writer.ts'
import { type ErrorFacts, type ParscaleError, usageError } from '../../errors.ts'
import type { DatasetSummary } from './dataset-summary.ts'
import { documentDigest } from './digest.ts'
import { digestSet } from './digest-set.ts'
import type { SkipReason, TrainingDocument } from './documents.ts'
import { documentEncoder, type EncodeOptions } from './encode-documents.ts'
import { heldOutSplit, type SplitOptions } from './split.ts'
import { type TokenFileWriter, tokenFileWriter } from './token-file-writer.ts'

export interface TokenizeOptions extends EncodeOptions, SplitOptions {
  /** Of the tokenizer (tokenizerDigest); the token files name it. */
  readonly tokenizerDigest: string
  /** Stored in the token files beside the summary. */
  readonly sources: unknown
  /** What readers have left out so far: their `onSkip` counts here. */
  readonly skipped: Readonly<Record<SkipReason, number>>
  readonly onProgress?: (progress: { readonly documents: number; readonly tokens: number }) => void
  readonly signal?: AbortSignal
}

/** Characters of text in the summary's sample. */
const sampleCharacters = 300

/**
 * Reads documents one by one, so that memory does not grow with the data: 30 bytes a document for finding copies, 8 for its
 * place. Copies of a document (but for whitespace) are left out wherever they are, so none is on both sides.
 *
 * @throws usage error where nothing is left to train on, or nothing is held out though something should be
 */
export async function tokenizeDataset(
  documents: AsyncIterable<TrainingDocument>,
  sinks: { readonly train: ByteSink; readonly heldOut: ByteSink },
  options: TokenizeOptions,
): Promise<DatasetSummary> {
  const { tokenizer, tokenizerDigest, chatTemplate, signal } = options
  const encode = documentEncoder(options)
  const isHeldOut = heldOutSplit(options)
  const seen = digestSet()
  const file = { vocabSize: tokenizer.vocabSize, masked: chatTemplate !== undefined, tokenizer: tokenizerDigest }
  const train = await tokenFileWriter(sinks.train, file)
  const heldOut = await tokenFileWriter(sinks.heldOut, file)
  const counts = { duplicatesRemoved: 0, withoutAnswer: 0, textBytes: 0, countedTokens: 0, largestTokenId: -1, sample: '' }

  for await (const document of documents) {
    signal?.throwIfAborted()
    const digest = await documentDigest(document, signal)
    if (!seen.add(digest)) {
      counts.duplicatesRemoved++
      continue
    }
    const encoded = await encode(document, signal)
    if (encoded.length === 0) counts.withoutAnswer++
    else counts.textBytes += textBytes(document)
    for (const each of encoded) {
      await (isHeldOut(digest) ? heldOut : train).write(each)
      counts.countedTokens += each.counted?.reduce((sum, one) => sum + one, 0) ?? each.ids.length
      counts.largestTokenId = each.ids.reduce((largest, id) => Math.max(largest, id), counts.largestTokenId)
      counts.sample ||= tokenizer.decode([...each.ids.subarray(0, sampleCharacters)]).slice(0, sampleCharacters)
    }
    options.onProgress?.({ documents: train.documents + heldOut.documents, tokens: train.tokens + heldOut.tokens })
  }
  const summary = { train: sizeOf(train), heldOut: sizeOf(heldOut), ...counts, skipped: { ...options.skipped } }
  checkSides(summary, options)
  for (const writer of [train, heldOut]) await writer.finish({ sources: options.sources, summary })
  return summary
}

const sizeOf = ({ documents, tokens }: TokenFileWriter) => ({ documents, tokens })

const utf8 = new TextEncoder()
const byteLength = (text: string): number => utf8.encode(text).length
const textBytes = (document: TrainingDocument): number =>
  'text' in document ? byteLength(document.text) : document.messages.reduce((sum, { content }) => sum + byteLength(content), 0)

function checkSides(
  { train, heldOut, skipped, duplicatesRemoved, withoutAnswer }: DatasetSummary,
  { heldOutFraction }: SplitOptions,
) {
  const documents = train.documents + heldOut.documents
  const facts: ErrorFacts = { found: { documents, duplicatesRemoved, withoutAnswer, ...skipped } }
  if (documents === 0) throw tooFew(`there are no documents to train on ${leftOut(facts)}; check the files`, facts)
  if (train.documents > 0 && (heldOut.documents > 0 || heldOutFraction === 0)) return
  const empty = train.documents === 0 ? 'training' : 'held-out'
  const advice = 'cut texts into more documents by a separator, or use another seed or a larger fraction'
  throw tooFew(`the ${empty} side of ${documents} documents is empty with ${heldOutFraction} of them held out; ${advice}`, facts)
}

const tooFew = (message: string, facts: ErrorFacts): ParscaleError => usageError(`data: ${message}`, facts)

/** "(2 empty, 1 badJson)", of what there is. */
function leftOut({ found }: ErrorFacts): string {
  const reasons = Object.entries(found as Record<string, number>).filter(([, number]) => number > 0)
  return `(${reasons.map(([reason, number]) => `${number} ${reason}`).join(', ') || 'none was found'})`
}
