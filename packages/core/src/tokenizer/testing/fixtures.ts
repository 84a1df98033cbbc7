/** Reads fixtures/tokenizer, made by scripts/fixtures/make-tokenizer-fixtures.py. */
import { readFileSync } from 'node:fs'

/** What the reference makes of the nasty texts and of some long ones. Ids are without a BOS token. */
export interface Expected {
  /** Ids of "a" with what the post-processor adds. */
  readonly with_special: readonly number[]
  /** `special`: special tokens count where they are spelled; absent where that makes no difference. */
  readonly texts: Readonly<Record<string, { readonly plain: number[]; readonly special?: number[]; readonly decoded: string }>>
  readonly long: readonly { readonly unit: string; readonly times: number; readonly ids: number; readonly checksum: number }[]
}

export function readFixture(name: string): unknown {
  return JSON.parse(readFileSync(new URL(`../../../../../fixtures/tokenizer/${name}`, import.meta.url), 'utf8'))
}

export const readExpected = (tokenizer: string): Expected => readFixture(`${tokenizer}.expected.json`) as Expected

/** The list of nasty texts, by what they are. */
export const nastyTexts = readFixture('nasty.json') as Readonly<Record<string, string>>

/** Stands for ids too many to keep; `checksum` of the script that made the fixtures. */
export function checksum(ids: readonly number[]): number {
  const modulus = 2 ** 31 - 1
  return ids.reduce((sum, id, i) => (sum + ((i % 65521) + 1) * (id + 1)) % modulus, 0)
}
