/** PyPI's tokenizers in a process beside us (`peer.py`), and how our tokenizer differs from it. */
import { fileURLToPath } from 'node:url'
import { isParscaleError } from '../../errors.ts'
import { answersOfEach, openLinePeer } from '../../testing/line-peer.ts'
import type { SmallRandom } from '../../testing/small-random.ts'
import { parseNormalizer } from '../normalizer.ts'
import { isolate, parsePreTokenizer } from '../pre-tokenizer.ts'
import { createTokenizer } from '../tokenizer.ts'
import { randomText, randomTokenizer } from './random-tokenizers.ts'

export interface PeerAnswer {
  readonly error?: string
  readonly plain: readonly number[]
  readonly ids: readonly number[]
  readonly decoded: string
  readonly skipped: string
  /** The first half of the ids as text. */
  readonly before: string
  /** The second half, streamed behind the first. */
  readonly streamed: string | { readonly error: string }
}

export interface PeerCase {
  readonly tokenizer: unknown
  readonly answers: readonly { readonly text: string; readonly peer: PeerAnswer }[]
}

export interface PatternReply {
  readonly error?: string
  readonly words: readonly string[][]
  readonly replaced: readonly string[]
}

/** Answers are undefined where the peer hangs: some regular expressions take it longer than anybody waits. */
export function openPeer(python: string) {
  const peer = openLinePeer(python, [fileURLToPath(new URL('peer.py', import.meta.url))])
  return {
    async answers(tokenizer: unknown, texts: readonly string[]): Promise<PeerCase | { readonly error: string } | undefined> {
      const requests = [{ tokenizer: JSON.stringify(tokenizer) }, ...texts.map((text) => ({ text }))]
      const [made, ...answers] = await peer.exchange(requests)
      if (answers.length < texts.length) return undefined
      const { error } = made as { error?: string }
      if (error !== undefined) return { error }
      return { tokenizer, answers: texts.map((text, i) => ({ text, peer: answers[i] as PeerAnswer })) }
    },
    patterns: (list: readonly { pattern: string; texts: readonly string[] }[]) =>
      answersOfEach(peer, list) as Promise<(PatternReply | undefined)[]>,
    normalized: (list: readonly { normalizer: string; text: string }[]) =>
      answersOfEach(peer, list) as Promise<({ readonly text: string } | undefined)[]>,
    close: () => peer.close(),
  }
}

export const randomCase = (kind: string, random: SmallRandom, texts: number) => ({
  tokenizer: randomTokenizer(kind, random),
  texts: Array.from({ length: texts }, () => randomText(random)),
})

export interface Comparison {
  readonly differences: readonly object[]
  readonly compared: number
  /** What we refused, by message. */
  readonly refused: readonly string[]
}

/** Encodes what the peer hung on: a text comes of it or our error does, within our own bounds. */
export function ends(tokenizer: unknown, texts: readonly string[]): void {
  for (const text of texts) {
    try {
      createTokenizer({ tokenizerJson: tokenizer }).encode(text, { allowSpecial: true })
    } catch (error) {
      if (!isParscaleError(error)) throw error
    }
  }
}

/** Encodes, decodes and streams as the peer did. Merges that spell a special token out of ordinary text are taken apart here on purpose. */
export function compareWithPeer({ tokenizer: json, answers }: PeerCase): Comparison {
  const differences: object[] = []
  const refused: string[] = []
  let compared = 0
  try {
    const tokenizer = createTokenizer({ tokenizerJson: json })
    for (const { text, peer } of answers) {
      if (peer.error !== undefined) continue
      const check = (what: string, expected: unknown, found: unknown) => {
        if (JSON.stringify(expected) !== JSON.stringify(found)) differences.push({ what, text, expected, found })
      }
      try {
        const ids = tokenizer.encode(text, { allowSpecial: true })
        check('plain', peer.plain, tokenizer.encode(text, { addSpecial: false }))
        check('ids', peer.ids, ids)
        check('decoded', peer.decoded, tokenizer.decode(peer.ids))
        check('skipped', peer.skipped, tokenizer.decode(peer.ids, { skipSpecial: true }))
        const half = peer.ids.length >> 1
        const stream = tokenizer.streamDecoder({ after: peer.ids.slice(0, half), skipSpecial: true })
        const streamed = peer.ids.slice(half).map((id) => stream.push(id))
        streamed.push(stream.flush())
        // The peer's stream keeps what might be the beginning of a character, and its law is this one.
        if (peer.skipped.startsWith(peer.before) && !peer.before.endsWith('\uFFFD')) {
          check('streamed', peer.skipped.slice(peer.before.length), streamed.join(''))
        }
        compared++
      } catch (error) {
        if (!isParscaleError(error)) throw error
        refused.push(error.message)
      }
    }
  } catch (error) {
    if (!isParscaleError(error)) throw error
    refused.push(error.message)
  }
  return { differences, compared, refused }
}

/** Cuts and replaces by a pattern as the peer did; a pattern that we refuse differs in nothing. */
export function comparePattern(
  { pattern, texts }: { readonly pattern: string; readonly texts: readonly string[] },
  peer: Omit<PatternReply, 'words'> & { readonly words: readonly (readonly string[])[] },
): Comparison {
  if (peer.error !== undefined) return { differences: [], compared: 0, refused: [] }
  const differences: object[] = []
  try {
    const preTokenizer = parsePreTokenizer(isolate(pattern), 'tokenizer.json')
    const normalizer = parseNormalizer({ type: 'Replace', pattern: { Regex: pattern }, content: '|' }, 'tokenizer.json')
    texts.forEach((text, i) => {
      const words = text === '' ? [] : Array.from(preTokenizer.cut({ text, atStart: true }), (word) => word.text)
      const found = { words, replaced: normalizer.normalize(text).text }
      const expected = { words: peer.words[i], replaced: peer.replaced[i] }
      if (JSON.stringify(found) !== JSON.stringify(expected)) differences.push({ pattern, text, expected, found })
    })
  } catch (error) {
    if (!isParscaleError(error)) throw error
    return { differences, compared: 0, refused: [error.message] }
  }
  return { differences, compared: texts.length, refused: [] }
}
