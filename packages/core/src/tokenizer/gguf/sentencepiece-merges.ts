/**
 * Merges of a SentencePiece vocabulary, whose pieces carry scores instead: a pair may merge when its result is a piece,
 * and the result with the best score goes first. Order as transformers makes it (convert_slow_tokenizer.py,
 * `generate_merges`).
 */

export interface ScoredPiece {
  readonly piece: string
  readonly id: number
  readonly score: number
}

/**
 * @param pieces ordinary pieces only: SentencePiece never merges into a control token or a byte, nor from one
 */
export function sentencePieceMerges(pieces: readonly ScoredPiece[]): [string, string][] {
  const idOf = new Map(pieces.map(({ piece, id }) => [piece, id]))
  const found: { left: string; right: string; score: number; leftChars: number; rightChars: number }[] = []
  for (const { piece, score } of pieces) {
    const characters = [...piece]
    const pairs: typeof found = []
    for (let cut = 1; cut < characters.length; cut++) {
      const left = characters.slice(0, cut).join('')
      const right = characters.slice(cut).join('')
      if (idOf.has(left) && idOf.has(right)) {
        pairs.push({ left, right, score, leftChars: cut, rightChars: characters.length - cut })
      }
    }
    pairs.sort((a, b) => idOf.get(a.left)! - idOf.get(b.left)! || idOf.get(a.right)! - idOf.get(b.right)!)
    found.push(...pairs)
  }
  found.sort((a, b) => b.score - a.score || b.leftChars - a.leftChars || b.rightChars - a.rightChars)
  return found.map(({ left, right }) => [left, right])
}
