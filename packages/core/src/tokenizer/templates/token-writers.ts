/**
 * Keeps special tokens out of what people write in a chat. A template puts contents and its own special tokens into one text,
 * and may cut, join or replace contents on the way. The interpreter keeps for every character who wrote it
 * (`jinja/text.ts`), so whether a spelling is the template's token is asked of the text that comes out.
 */
import { byPerson, type Text } from './jinja/text.ts'

/**
 * Whether what is spelled from `start` to `end` (UTF-16 units) is a token that the template wrote: no character of it is a
 * person's. A message's role may be in it, where the template began and ended it (`'<|' + message.role + '|>'`).
 */
export function isOwnToken({ spans }: Text, start: number, end: number): boolean {
  for (let i = firstSpan(spans, start); i < spans.length && spans[i]! < end; i += 3) {
    if (spans[i + 2] === byPerson) return false
    if (spans[i]! <= start || spans[i + 1]! >= end) return false
  }
  return true
}

/** The first run that ends behind `start`. Runs are ascending. */
function firstSpan(spans: Text['spans'], start: number): number {
  let [low, high] = [0, spans.length / 3]
  while (low < high) {
    const middle = (low + high) >> 1
    if (spans[3 * middle + 1]! <= start) low = middle + 1
    else high = middle
  }
  return 3 * low
}
