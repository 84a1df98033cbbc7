/** A set of 64-bit digests in 16 to 32 bytes each: JavaScript's own sets take five times as much, and end at 2^24 entries. */

export interface DigestSet {
  /** True where the digest was not there yet. */
  add(digest: bigint): boolean
}

export function digestSet(): DigestSet {
  // Open addressing: a digest stands in the first free place from where its low bits point. Zero marks a free place.
  let places = new BigUint64Array(1024)
  let filled = 0
  let hasZero = false

  function insert(digest: bigint): boolean {
    const mask = places.length - 1
    let at = Number(digest & BigInt(mask))
    while (places[at] !== 0n && places[at] !== digest) at = (at + 1) & mask
    const isNew = places[at] === 0n
    places[at] = digest
    return isNew
  }

  return {
    add(digest) {
      if (digest === 0n) {
        const isNew = !hasZero
        hasZero = true
        return isNew
      }
      if (2 * filled >= places.length) {
        const old = places
        places = new BigUint64Array(2 * old.length)
        for (const each of old) if (each !== 0n) insert(each)
      }
      const isNew = insert(digest)
      if (isNew) filled++
      return isNew
    },
  }
}
