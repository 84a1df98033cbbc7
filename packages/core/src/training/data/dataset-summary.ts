/** What is in a data set: what a command shows before the first step. It is kept in the token files, so checked when read. */
import * as z from 'zod'
import { skipReasons } from './documents.ts'

const count = z.number().int().nonnegative()
const side = z.strictObject({ documents: count, tokens: count })

export const datasetSummary = z.strictObject({
  train: side,
  heldOut: side,
  /** Documents that were there before, but for whitespace; on either side. */
  duplicatesRemoved: count,
  /** Conversations without an answer of the assistant. */
  withoutAnswer: count,
  /** Documents left out, by reason. */
  skipped: z.strictObject(
    Object.fromEntries(skipReasons.map((reason) => [reason, count])) as Record<(typeof skipReasons)[number], typeof count>,
  ),
  /** UTF-8 bytes of the documents that were taken: text, or contents of messages. */
  textBytes: count,
  /** Tokens that count as targets of the loss. For texts all do. */
  countedTokens: count,
  /** To compare with a model's vocabulary. -1 where there are no tokens. */
  largestTokenId: z.number().int().min(-1),
  /** The beginning of the first document, as it comes back from its tokens. */
  sample: z.string(),
})
export type DatasetSummary = z.infer<typeof datasetSummary>

/** How well the tokenizer fits the text; more is better. NaN where there are no tokens. */
export const bytesPerToken = ({ textBytes, train, heldOut }: DatasetSummary): number =>
  textBytes / (train.tokens + heldOut.tokens)
