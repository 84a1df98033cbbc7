/** The bytes of a vocabulary as a tree, its nodes in the order of a walk that goes down first. */

import type { Pieces } from '../limits.ts'

export interface TokenTrie {
  /** [nodes]: the byte that leads to a node. Node 0 is the root. */
  readonly bytes: Uint8Array
  /** [nodes]: the first node that does not lie below. */
  readonly ends: Int32Array
  /** [nodes]: bytes from the root. */
  readonly depths: Uint16Array
  /** [nodes + 1]: where a node's tokens begin in `tokens`. */
  readonly starts: Int32Array
  readonly tokens: Int32Array
  readonly deepest: number
}

/** @param bytesOf a token's bytes; undefined or empty: it has no place in the tree */
export function* tokenTrie(size: number, bytesOf: (id: number) => Uint8Array | undefined): Pieces<TokenTrie> {
  // By their first two bytes, so that sorting is done in pieces too.
  const groups = new Map<string, { readonly key: string; readonly id: number }[]>()
  for (let id = 0; id < size; id++) {
    if (id % tokensOfPiece === 0) yield
    const bytes = bytesOf(id)
    // Code units are bytes here, so that texts sort as their bytes do.
    if (!bytes || bytes.length === 0 || bytes.length > longestToken) continue
    const key = latin1(bytes)
    const group = groups.get(key.slice(0, 2)) ?? []
    groups.set(key.slice(0, 2), group)
    group.push({ key, id })
  }
  let sorted = 0
  const ordered = [...groups].sort(([a], [b]) => (a < b ? -1 : 1))
  for (const [, group] of ordered) {
    sorted += group.length
    if (sorted > tokensOfPiece) {
      sorted = 0
      yield
    }
    group.sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : a.id - b.id))
  }
  const entries = ordered.flatMap(([, group]) => group)
  const bytes: number[] = [0]
  const depths: number[] = [0]
  const starts: number[] = [0]
  const tokens: number[] = []
  const path: number[] = [0]
  const ends: number[] = [0]
  let before = ''
  for (const [i, { key, id }] of entries.entries()) {
    if (i % tokensOfPiece === 0) yield
    let shared = 0
    while (shared < before.length && shared < key.length && before.charCodeAt(shared) === key.charCodeAt(shared)) shared++
    while (path.length > shared + 1) ends[path.pop()!] = bytes.length
    for (let i = shared; i < key.length; i++) {
      starts.push(tokens.length)
      depths.push(i + 1)
      ends.push(0)
      path.push(bytes.push(key.charCodeAt(i)) - 1)
    }
    tokens.push(id)
    before = key
  }
  for (const node of path) ends[node] = bytes.length
  starts.push(tokens.length)
  return {
    bytes: Uint8Array.from(bytes),
    ends: Int32Array.from(ends),
    depths: Uint16Array.from(depths),
    starts: Int32Array.from(starts),
    tokens: Int32Array.from(tokens),
    deepest: depths.reduce((a, b) => Math.max(a, b), 0),
  }
}

/** Tokens that are taken in a turn. */
const tokensOfPiece = 4096

/** Longer tokens are never drawn in constrained text. The longest that is known has 512 bytes, all blanks. */
const longestToken = 4096

function latin1(bytes: Uint8Array): string {
  let text = ''
  for (const byte of bytes) text += String.fromCharCode(byte)
  return text
}
