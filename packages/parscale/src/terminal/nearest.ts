/** The known names that look like a word which nobody knows: for messages that say what was probably meant. */

/**
 * Names within a third of their length of `word`, ignoring case, `-` and `_`; nearest first, the order of `names` among equals.
 * A name that begins with the word counts as near: `temp` for `temperature`. Names that are there twice are named once.
 */
export function nearestNames(word: string, names: readonly string[], most = 3): string[] {
  const wanted = bare(word)
  if (wanted === '') return []
  return [...new Set(names)]
    .map((name) => ({ name, distance: distanceTo(wanted, bare(name)) }))
    .filter(({ distance, name }) => distance <= Math.max(1, Math.floor(Math.max(wanted.length, bare(name).length) / 3)))
    .sort((a, b) => a.distance - b.distance)
    .slice(0, most)
    .map(({ name }) => name)
}

/** `; did you mean A or B?`, or nothing. */
export function didYouMean(near: readonly string[]): string {
  return near.length === 0 ? '' : `; did you mean ${near.slice(0, -1).join(', ')}${near.length > 1 ? ' or ' : ''}${near.at(-1)}?`
}

const bare = (text: string) => text.toLowerCase().replaceAll(/[-_]/g, '')

const distanceTo = (wanted: string, name: string): number =>
  wanted.length >= 3 && name.startsWith(wanted) ? 1 : editDistance(wanted, name)

/** Damerau and Levenshtein's distance (of two neighbours exchanged, too). */
export function editDistance(a: string, b: string): number {
  let [before, row] = [[] as number[], Array.from({ length: b.length + 1 }, (_, j) => j)]
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1]
      next[j] = Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (same ? 0 : 1))
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) next[j] = Math.min(next[j]!, before[j - 2]! + 1)
    }
    ;[before, row] = [row, next]
  }
  return row[b.length]!
}
