/**
 * The token file: documents as token ids, for training. Specified in docs/data.md. Everything is little-endian, as hosts are.
 *
 *     header   16 bytes   magic, version, bytes per token
 *     tokens   N x 2 or 4 bytes, zeros up to a multiple of 8
 *     ends     D x 8 bytes: where each document ends, in tokens
 *     metadata M bytes of JSON
 *     trailer  32 bytes   N, D, M, checksum, magic
 *
 * Counts stand at the end, because only then are they known: files are written as a stream. A file that was cut off has no
 * trailer.
 */
import * as z from 'zod'

export const headerMagic = 'PSTOKENS'
export const trailerMagic = 'PSTKEND.'
export const formatVersion = 1
export const headerBytes = 16
export const trailerBytes = 32

/** Set on ids of files with a mask, where the token counts as a target of the loss. Ids have at most 24 bits. */
export const countedBit = 2 ** 31

export const tokenFileMetadata = z.strictObject({
  /** One more than the largest id there may be. */
  vocabSize: z
    .number()
    .int()
    .min(1)
    .max(2 ** 24),
  /** Ids carry `countedBit`; they then take 4 bytes. */
  masked: z.boolean(),
  /** SHA-256 of the tokenizer's files. */
  tokenizer: z.string().max(64),
  /** Whatever the writer wants to store: which sources, with which options, and what was counted. */
  about: z.unknown(),
})
export type TokenFileMetadata = z.infer<typeof tokenFileMetadata>

/** Ids up to 65,535 take two bytes. */
export const bytesPerToken = ({ vocabSize, masked }: Pick<TokenFileMetadata, 'vocabSize' | 'masked'>): 2 | 4 =>
  vocabSize <= 2 ** 16 && !masked ? 2 : 4

export const paddedLength = (bytes: number): number => Math.ceil(bytes / 8) * 8
