/** SHA-256 digests that identify documents and tokenizers. */
import { finishWithPauses } from '../../steps.ts'
import type { TokenizerFiles } from '../../tokenizer/index.ts'
import type { TrainingDocument } from './documents.ts'

/**
 * 64 bits of SHA-256 over what a document says, runs of whitespace counting as one space: copies that were wrapped or
 * indented differently are the same document. Among ten million documents two differing ones agree with probability 3e-6.
 */
export async function documentDigest(document: TrainingDocument, signal?: AbortSignal): Promise<bigint> {
  const said = 'text' in document ? document.text : JSON.stringify(document.messages.map(({ role, content }) => [role, content]))
  const digest = await sha256((await finishWithPauses(singleSpaces(said), { signal })).trim())
  return new DataView(digest).getBigUint64(0)
}

/** Some milliseconds' worth. */
const charactersAtOnce = 2 ** 16

/** Each run of whitespace as one space, in steps: parts end behind what is no whitespace. */
function* singleSpaces(text: string): Generator<void, string> {
  const parts: string[] = []
  const solid = /\S/g
  for (let start = 0; start < text.length; ) {
    solid.lastIndex = start + charactersAtOnce
    const end = (solid.exec(text)?.index ?? text.length) + 1
    parts.push(text.slice(start, end).replace(/\s+/g, ' '))
    start = end
    yield
  }
  return parts.join('')
}

/** SHA-256, in hexadecimal, of everything that decides a tokenizer's ids: token files name it. */
export async function tokenizerDigest({ tokenizerJson, tokenizerConfig, chatTemplate }: TokenizerFiles): Promise<string> {
  const digest = await sha256(JSON.stringify([tokenizerJson, tokenizerConfig ?? null, chatTemplate ?? null]))
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, '0')).join('')
}

const sha256 = (text: string): Promise<ArrayBuffer> => crypto.subtle.digest('SHA-256', new TextEncoder().encode(text))
