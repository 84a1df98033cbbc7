/** Names and their values. Inner scopes see outer ones; what they store is gone with them. */
import { Undefined, type Value } from './values.ts'

export class Scope {
  readonly #values = new Map<string, Value>()
  readonly #outer: Scope | undefined
  /** The template's outermost scope, which blocks see. */
  readonly top: Scope

  constructor(outer?: Scope, isTop = false) {
    this.#outer = outer
    this.top = isTop || !outer ? this : outer.top
  }

  get(name: string): Value | undefined {
    for (let scope: Scope | undefined = this; scope; scope = scope.#outer) {
      const value = scope.#values.get(name)
      if (value !== undefined) return value
    }
    return undefined
  }

  set(name: string, value: Value): void {
    this.#values.set(name, value)
  }

  /** Forgets all, and hides what outer scopes have under these names. */
  begin(hidden: readonly string[] = []): void {
    this.#values.clear()
    for (const name of hidden) this.hide(name)
  }

  hide(name: string): void {
    this.#values.set(name, new Undefined(`'${name}' is undefined`))
  }
}
