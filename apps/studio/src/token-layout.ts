/** Where tokens stand in lines of a given width. Grows with the text; a word that is several tokens is not torn apart. */

export interface Placed {
  readonly line: number
  readonly x: number
  readonly width: number
}

export class TokenLayout {
  readonly #measure: (text: string) => number
  readonly #width: number
  readonly #placed: Placed[] = []
  /** Index of the first token of each line. */
  readonly #lines: number[] = [0]
  #x = 0
  /** First token of the word that is being written. */
  #word = 0

  /** @param width of a line, in the units of `measure` */
  constructor(width: number, measure: (text: string) => number) {
    this.#width = width
    this.#measure = measure
  }

  get lines(): number {
    return this.#lines.length
  }

  get length(): number {
    return this.#placed.length
  }

  at(index: number): Placed | undefined {
    return this.#placed[index]
  }

  /** Tokens of a line: from, and up to but without. */
  range(line: number): [number, number] {
    return [this.#lines[line] ?? this.#placed.length, this.#lines[line + 1] ?? this.#placed.length]
  }

  /** Lays out the tokens beyond those that it has. */
  grow(texts: readonly string[]): void {
    for (let i = this.#placed.length; i < texts.length; i++) this.#place(i, texts[i]!)
  }

  /** The token under a point, by line and x. */
  find(line: number, x: number): number | undefined {
    const [from, to] = this.range(line)
    for (let i = from; i < to; i++) {
      const { x: left, width } = this.#placed[i]!
      if (x >= left && x < left + width) return i
    }
    return undefined
  }

  #place(i: number, text: string): void {
    const width = Math.max(6, this.#measure(text))
    if (/^\s/.test(text)) this.#word = i
    if (this.#x + width > this.#width && this.#x > 0) this.#wrap(i)
    this.#placed.push({ line: this.#lines.length - 1, x: this.#x, width })
    this.#x += width
    if (text.includes('\n')) {
      this.#lines.push(i + 1)
      this.#x = 0
      this.#word = i + 1
    }
  }

  /** Begins a line with token i, and what of its word stands before it. */
  #wrap(i: number): void {
    const start = this.#lines.at(-1)!
    const from = this.#word > start && this.#word < i ? this.#word : i
    this.#lines.push(from)
    this.#x = 0
    for (let j = from; j < i; j++) {
      const { width } = this.#placed[j]!
      this.#placed[j] = { line: this.#lines.length - 1, x: this.#x, width }
      this.#x += width
    }
  }
}
