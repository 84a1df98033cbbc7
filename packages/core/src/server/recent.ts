/** What was used last, by a text that a request may have brought. */

export interface RecentLimits<V> {
  /** Entries. */
  readonly entries: number
  /** Of all texts and values together, in bytes; what is used last stays whatever it takes. */
  readonly bytes: number
  /** Of a value; it may grow, and is asked again. Default: 0. */
  readonly bytesOf?: (value: V) => number
  /** Called with what is no longer kept. */
  readonly dropped?: (value: V) => void
}

export class Recent<V> {
  readonly #known = new Map<string, V>()
  readonly #limits: RecentLimits<V>

  constructor(limits: RecentLimits<V>) {
    this.#limits = limits
  }

  get(key: string): V | undefined {
    const value = this.#known.get(key)
    if (value !== undefined) this.set(key, value)
    return value
  }

  set(key: string, value: V): void {
    const before = this.#known.get(key)
    this.#known.delete(key)
    this.#known.set(key, value)
    if (before !== undefined && before !== value) this.#limits.dropped?.(before)
    const { entries, bytes } = this.#limits
    for (const oldest of this.#known.keys()) {
      if (oldest === key || (this.#known.size <= entries && this.bytes <= bytes)) break
      this.delete(oldest)
    }
  }

  delete(key: string): void {
    const value = this.#known.get(key)
    if (this.#known.delete(key)) this.#limits.dropped?.(value!)
  }

  values(): Iterable<V> {
    return this.#known.values()
  }

  get bytes(): number {
    let bytes = 0
    // A text takes up to two bytes for each of its units.
    for (const [key, value] of this.#known) bytes += 2 * key.length + (this.#limits.bytesOf?.(value) ?? 0)
    return bytes
  }
}
