/** Shows stream weights as colours: each token has the colour of its heaviest stream, brighter with more weight. */

/** Eight hues that stay apart on dark and light terminals, as RGB (Okabe and Ito's palette for colour-blind readers, and white). */
export const streamHues = [
  [230, 159, 0],
  [86, 180, 233],
  [0, 158, 115],
  [240, 228, 66],
  [0, 114, 178],
  [213, 94, 0],
  [204, 121, 167],
  [200, 200, 200],
] as const

/** Returns a painter of tokens. Without colour, the leading stream stands behind the token: `word(2:63%)`. */
export function streamBlocks(p: number, color: boolean): (text: string, weights: readonly number[]) => string {
  return (text, weights) => {
    if (p === 1) return text
    const best = weights.indexOf(Math.max(...weights))
    const share = weights[best]!
    if (!color) return `${text}(${best + 1}:${Math.round(share * 100)}%)`
    // From an even split (dark) to all weight on one stream (full colour).
    const strength = 0.25 + 0.75 * ((share - 1 / p) / (1 - 1 / p))
    const [r, g, b] = streamHues[best % streamHues.length]!.map((c) => Math.round(c * strength))
    const ink = 0.299 * r! + 0.587 * g! + 0.114 * b! > 110 ? '30' : '97'
    return text
      .split('\n')
      .map((line) => (line === '' ? '' : `\u001b[48;2;${r};${g};${b};${ink}m${line}\u001b[0m`))
      .join('\n')
  }
}

/** One line that says which colour is which stream. */
export function streamLegend(p: number, color: boolean): string {
  if (p === 1) return 'P = 1: the plain model, no streams to show'
  if (!color) return 'behind each token: the stream that weighs most, and its weight'
  const paint = streamBlocks(p, true)
  const names = Array.from({ length: p }, (_, stream) =>
    paint(
      ` ${stream + 1} `,
      Array.from({ length: p }, (_, i) => (i === stream ? 1 : 0)),
    ),
  )
  return `leading stream: ${names.join(' ')}  (brighter: more weight)`
}
