/**
 * Finds stop strings in text that arrives in pieces, and says how much of the text can be shown already.
 *
 * The text stops where a stop string is first complete (the generation could not have known more by then); of several that
 * end there, the longest counts. The result depends on the text only, never on how it was cut into pieces.
 *
 * One Aho-Corasick automaton over UTF-16 units (A. Aho, M. Corasick, CACM 18(6), 1975): its state is the longest end of the
 * text that begins a stop string, so the depth of the state is exactly what must be held back. Linear in the text.
 */
import { usageError } from '../errors.ts'

export interface StopMatcher {
  /** `text` may be shown; `stopped` is the stop string that was found, null while there is none. Nothing follows a stop. */
  push(text: string): { text: string; stopped: string | null }
  /** What was held back, at the end of a generation that did not stop. */
  flush(): string
}

interface State {
  readonly next: Map<number, State>
  readonly depth: number
  /** The state of the longest proper end of this one's text. */
  fallback: State | null
  /** The longest stop string that ends here. */
  match: string | null
}

/** Throws a usage error for an empty stop string, and for what is no list of strings. */
export function createStopMatcher(stops: readonly string[]): StopMatcher {
  const root = buildAutomaton(stops)
  let state = root
  let held = ''
  let stopped: string | null = null

  return {
    push(piece) {
      if (stopped !== null) return { text: '', stopped }
      const text = held + piece
      for (let i = held.length; i < text.length; i++) {
        state = advance(state, text.charCodeAt(i))
        if (state.match === null) continue
        stopped = state.match
        held = ''
        return { text: text.slice(0, i + 1 - stopped.length), stopped }
      }
      const shown = text.length - state.depth
      held = text.slice(shown)
      return { text: text.slice(0, shown), stopped }
    },
    flush() {
      const rest = held
      held = ''
      state = root
      return rest
    },
  }
}

function advance(from: State, unit: number): State {
  for (let state: State = from; ; state = state.fallback) {
    const next = state.next.get(unit)
    if (next !== undefined) return next
    if (state.fallback === null) return state // the root
  }
}

function buildAutomaton(stops: readonly string[]): State {
  const root: State = { next: new Map(), depth: 0, fallback: null, match: null }
  // A plain string would be taken for its characters.
  if (!Array.isArray(stops) || !stops.every((stop) => typeof stop === 'string'))
    throw usageError(`stop: expected a list of texts, got ${JSON.stringify(stops)}`, { flag: 'stop', found: stops })
  for (const stop of stops) {
    if (stop === '') throw usageError('stop: a stop string must not be empty', { flag: 'stop' })
    let state = root
    for (let i = 0; i < stop.length; i++) {
      const unit = stop.charCodeAt(i)
      const next = state.next.get(unit) ?? { next: new Map(), depth: state.depth + 1, fallback: root, match: null }
      state.next.set(unit, next)
      state = next
    }
    state.match = stop
  }
  // Breadth first, so that a fallback, which is shallower, is complete before it is needed.
  const queue = [...root.next.values()]
  for (const state of queue) {
    for (const [unit, child] of state.next) {
      child.fallback = advance(state.fallback!, unit)
      child.match ??= child.fallback.match
      queue.push(child)
    }
  }
  return root
}
