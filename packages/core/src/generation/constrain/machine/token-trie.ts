/** The bytes of a vocabulary as a tree, its nodes in the order of a walk that goes down first. */

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
export function tokenTrie(size: number, bytesOf: (id: number) => Uint8Array | undefined): TokenTrie {
  const entries: { readonly key: string; readonly id: number }[] = []
  for (let id = 0; id < size; id++) {
    const bytes = bytesOf(id)
    // Code units are bytes here, so that texts sort as their bytes do.
    if (bytes && bytes.length > 0 && bytes.length <= longestToken) entries.push({ key: latin1(bytes), id })
  }
  entries.sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : a.id - b.id))
  const bytes: number[] = [0]
  const depths: number[] = [0]
  const starts: number[] = [0]
  const tokens: number[] = []
  const path: number[] = [0]
  const ends: number[] = [0]
  let before = ''
  for (const { key, id } of entries) {
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

/** Longer tokens are never drawn in constrained text. The longest that is known has 512 bytes, all blanks. */
const longestToken = 4096

function latin1(bytes: Uint8Array): string {
  let text = ''
  for (const byte of bytes) text += String.fromCharCode(byte)
  return text
}
