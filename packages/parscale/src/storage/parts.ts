/** How a file is cut for a multipart upload. S3's limits: parts of 5 MiB to 5 GiB, the last one shorter; at most 10,000 of them. */

const mebibyte = 2 ** 20
/** Also the largest object that is sent in one request. */
export const usualPartBytes = 8 * mebibyte
export const leastPartBytes = 5 * mebibyte
const mostParts = 10_000

export interface Part {
  /** From 1. */
  readonly number: number
  readonly start: number
  readonly bytes: number
}

/**
 * Parts of a file, a function of its size alone, so that another process that goes on with an upload cuts it the same way.
 * Empty: the file is sent in one request.
 */
export function planParts(fileBytes: number, partBytes = usualPartBytes): Part[] {
  if (fileBytes <= partBytes) return []
  const size = Math.max(partBytes, mebibyte * Math.ceil(fileBytes / mostParts / mebibyte))
  return Array.from({ length: Math.ceil(fileBytes / size) }, (_, i) => ({
    number: i + 1,
    start: i * size,
    bytes: Math.min(size, fileBytes - i * size),
  }))
}
