/** The parts that tokenizer.json is made of (normalizers, pre-tokenizers): how they are read, refused and bounded. */
import { checkpointError, type ParscaleError, unsupportedError } from '../errors.ts'
import type { Component } from './tokenizer-json.ts'

/** Parts of one kind, those inside sequences counted. Published files have up to 5. */
const maxParts = 32

/** The parts inside sequences, in the order in which they run. @throws unsupported error where they are too many */
export function flattenParts(part: Component | null, kind: 'normalizer' | 'pre_tokenizer', file: string): Component[] {
  const found: Component[] = []
  const open = part ? [part] : []
  for (let next = open.pop(); next; next = open.pop()) {
    const inner = kind === 'normalizer' ? next.normalizers : next.pretokenizers
    if (next.type !== 'Sequence') found.push(next)
    else for (const each of (inner ?? []).toReversed()) open.push(each)
    if (found.length + open.length > maxParts) throw unsupportedPart(file, `more than ${maxParts} parts of kind ${kind}`)
  }
  return found
}

export function needKey<K extends 'pattern' | 'content' | 'prepend'>(
  part: Component,
  key: K,
  file: string,
): NonNullable<Component[K]> {
  const value = part[key]
  if (value !== undefined) return value as NonNullable<Component[K]>
  throw checkpointError(`${file}: "${part.type}" needs a ${key}`, { file, expected: key })
}

export function unsupportedPart(file: string, what: string, known?: readonly string[]): ParscaleError {
  const hint = known ? `; supported are ${known.join(', ')}` : ''
  return unsupportedError(`${file}: ${what} is not supported${hint}`, { file, found: what })
}
