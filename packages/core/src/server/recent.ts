/** What was used last, by a text that a request may have brought: bounded in entries and in characters of these texts. */
export class Recent<V> {
  readonly #known = new Map<string, V>()
  readonly #most: number
  readonly #mostCharacters: number
  #characters = 0

  constructor(most: number, mostCharacters: number) {
    this.#most = most
    this.#mostCharacters = mostCharacters
  }

  get(key: string): V | undefined {
    const value = this.#known.get(key)
    if (value === undefined) return undefined
    this.#known.delete(key)
    this.#known.set(key, value)
    return value
  }

  set(key: string, value: V): void {
    this.delete(key)
    this.#known.set(key, value)
    this.#characters += key.length
    for (const oldest of this.#known.keys()) {
      if (this.#known.size <= this.#most && this.#characters <= this.#mostCharacters) break
      this.delete(oldest)
    }
  }

  delete(key: string): void {
    if (this.#known.delete(key)) this.#characters -= key.length
  }
}
