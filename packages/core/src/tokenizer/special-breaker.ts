/** Special tokens that a mark inside them or right behind them keeps from counting. */

/** The text without breakers, and which of its parts none of them interrupted or followed. */
export function withoutBreakers(text: string, breaker: string) {
  const pieces = text.split(breaker)
  const places: number[] = []
  let length = 0
  for (const piece of pieces) {
    length += piece.length
    places.push(length)
  }
  places.pop() // the end of the text
  const isSpecial = (start: number, end: number): boolean => {
    let [low, high] = [0, places.length]
    while (low < high) {
      const middle = (low + high) >> 1
      if (places[middle]! > start) high = middle
      else low = middle + 1
    }
    return low === places.length || places[low]! > end
  }
  return { plain: pieces.join(''), isSpecial }
}
