/**
 * Python's `str`: a text that is measured and cut in code points, and that knows which of its characters people wrote.
 * Every operation keeps that knowledge, so that a template cannot turn a person's text into a control token.
 */

/** Who wrote characters that are not the template's own. */
export const byPerson = 1
/** A message's role. A template may build a token around it (`'<|' + role + '|>'`). */
export const byRole = 2
export type Writer = typeof byPerson | typeof byRole

/** `start, end, writer` of each run of characters that are not the template's, in UTF-16 units, ascending. */
export type Spans = readonly number[]

const noSpans: Spans = []

export class Text {
  readonly value: string
  readonly spans: Spans
  /** markupsafe's `Markup`, which the filters `escape` and `safe` give. */
  readonly markup: boolean
  #starts: readonly number[] | undefined | null

  constructor(value: string, spans: Spans = noSpans, markup = false) {
    this.value = value
    this.spans = spans
    this.markup = markup
  }

  /** Number of code points. */
  get length(): number {
    return this.#codePoints?.length ?? this.value.length
  }

  /** Where each code point starts; undefined where code points are UTF-16 units. */
  get #codePoints(): readonly number[] | undefined {
    if (this.#starts === undefined)
      this.#starts = /[\ud800-\udbff][\udc00-\udfff]/.test(this.value) ? codePointStarts(this.value) : null
    return this.#starts ?? undefined
  }

  /** UTF-16 offset of a code point. */
  unit(codePoint: number): number {
    const starts = this.#codePoints
    return starts === undefined ? codePoint : (starts[codePoint] ?? this.value.length)
  }

  /** Code point at a UTF-16 offset. */
  codePoint(unit: number): number {
    const starts = this.#codePoints
    if (starts === undefined) return unit
    let [low, high] = [0, starts.length]
    while (low < high) {
      const middle = (low + high) >> 1
      if (starts[middle]! < unit) low = middle + 1
      else high = middle
    }
    return low
  }

  /** The part between two code points. */
  slice(start: number, end: number): Text {
    return this.units(this.unit(start), this.unit(end))
  }

  at(codePoint: number): Text {
    return this.slice(codePoint, codePoint + 1)
  }

  /** The part between two UTF-16 offsets. */
  units(start: number, end: number): Text {
    if (start <= 0 && end >= this.value.length) return this
    if (end <= start) return new Text('', noSpans, this.markup)
    return new Text(this.value.slice(start, end), cutSpans(this.spans, start, end), this.markup)
  }

  /** One by one; markupsafe's characters are no markup. */
  *characters(): Generator<Text> {
    const { length } = this
    for (let i = 0; i < length; i++) yield this.at(i).as(false)
  }

  as(markup: boolean): Text {
    return this.markup === markup ? this : new Text(this.value, this.spans, markup)
  }

  /** Maps each run of one writer's characters. `map` must not depend on what is around a run. */
  map(map: (run: string) => string): Text {
    if (this.spans.length === 0) return new Text(map(this.value), noSpans, this.markup)
    const parts = new TextParts()
    let done = 0
    for (let i = 0; i < this.spans.length; i += 3) {
      const [start, end, writer] = [this.spans[i]!, this.spans[i + 1]!, this.spans[i + 2]! as Writer]
      parts.push(map(this.value.slice(done, start)))
      parts.push(written(map(this.value.slice(start, end)), writer))
      done = end
    }
    parts.push(map(this.value.slice(done)))
    return parts.text(this.markup)
  }

  /** The text itself with another value; all of it is a person's where any of this is. */
  replaced(value: string): Text {
    return new Text(value, this.spans.length > 0 && value !== '' ? [0, value.length, byPerson] : noSpans, this.markup)
  }
}

export const emptyText = new Text('')

/** A text of the template's own. */
export const text = (value: string): Text => (value === '' ? emptyText : new Text(value))

export const written = (value: string, writer: Writer): Text =>
  value === '' ? emptyText : new Text(value, [0, value.length, writer])

/** Collects the parts of a text. */
export class TextParts {
  readonly #parts: string[] = []
  readonly #spans: number[] = []
  length = 0

  push(part: Text | string): void {
    if (typeof part === 'string') {
      this.#parts.push(part)
      this.length += part.length
      return
    }
    for (let i = 0; i < part.spans.length; i += 3) this.#addSpan(part.spans[i]!, part.spans[i + 1]!, part.spans[i + 2]!)
    this.#parts.push(part.value)
    this.length += part.value.length
  }

  text(markup = false): Text {
    return new Text(this.#parts.join(''), this.#spans, markup)
  }

  #addSpan(start: number, end: number, writer: number): void {
    const spans = this.#spans
    const last = spans.length - 3
    const from = this.length + start
    if (last >= 0 && spans[last + 1] === from && spans[last + 2] === writer) spans[last + 1] = this.length + end
    else spans.push(from, this.length + end, writer)
  }
}

export function joinTexts(...parts: readonly (Text | string)[]): Text {
  const joined = new TextParts()
  for (const part of parts) joined.push(part)
  return joined.text()
}

/** Order by code points, as Python compares. UTF-16 units order differently above U+FFFF. */
export function compareTexts(left: string, right: string): number {
  if (left === right) return 0
  const shorter = Math.min(left.length, right.length)
  for (let i = 0; i < shorter; i++) {
    const [a, b] = [left.charCodeAt(i), right.charCodeAt(i)]
    if (a === b) continue
    const [highA, highB] = [isSurrogate(a), isSurrogate(b)]
    return highA === highB ? a - b : highA ? 1 : -1
  }
  return left.length - right.length
}

const isSurrogate = (unit: number): boolean => unit >= 0xd800 && unit < 0xe000

function codePointStarts(value: string): number[] {
  const starts: number[] = []
  for (let i = 0; i < value.length; i++) {
    starts.push(i)
    if (value.codePointAt(i)! > 0xffff) i++
  }
  return starts
}

function cutSpans(spans: Spans, start: number, end: number): Spans {
  if (spans.length === 0) return noSpans
  const cut: number[] = []
  for (let i = 0; i < spans.length; i += 3) {
    const from = Math.max(spans[i]!, start)
    const to = Math.min(spans[i + 1]!, end)
    if (from < to) cut.push(from - start, to - start, spans[i + 2]!)
  }
  return cut
}
