/** Automata of keys that are equal are one, so that what is found out about it is found out once. */
import { type ByteAutomaton, spell } from '../automata/byte-automaton.ts'
import type { CharacterAutomaton } from '../automata/character-automaton.ts'
import type { Budget, Pieces } from '../limits.ts'

export class SharedKeys {
  /** By the numbers of classes and states. */
  readonly #known = new Map<string, { readonly characters: CharacterAutomaton; readonly keys: ByteAutomaton }[]>();

  /** @param what names it in errors */
  *spelled(characters: CharacterAutomaton, what: string, budget: Budget): Pieces<ByteAutomaton> {
    const { breaks, labels } = characters
    const size = `${breaks.length},${labels.length}`
    const alike = this.#known.get(size) ?? []
    this.#known.set(size, alike)
    for (const each of alike) {
      if (budget.pass(labels.length)) yield
      if (isSame(each.characters, characters)) return each.keys
    }
    const keys = yield* spell(characters, what, budget, { json: true })
    alike.push({ characters, keys })
    return keys
  }
}

const isSame = (a: CharacterAutomaton, b: CharacterAutomaton): boolean =>
  a.breaks.every((code, i) => code === b.breaks[i]) &&
  a.labels.every((label, i) => label === b.labels[i]) &&
  a.next.every((to, i) => to === b.next[i])
