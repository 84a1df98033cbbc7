/** Texts around and beside JSON: sequences and choices of fixed texts, patterns and values. */
import type { ByteAutomaton } from '../automata/byte-automaton.ts'

export type Expression =
  /** A fixed text. As a `marker`, a token of its own may stand for all of it. */
  | { readonly type: 'text'; readonly automaton: ByteAutomaton; readonly marker?: string }
  /** Text of an automaton; `free`: where it is not constrained, added tokens may stand in it; `marker` ends it. */
  | { readonly type: 'pattern'; readonly automaton: ByteAutomaton; readonly free?: boolean; readonly marker?: string }
  /** A node of the compiled values. */
  | { readonly type: 'value'; readonly node: number }
  | { readonly type: 'sequence' | 'choice'; readonly items: readonly Expression[] }
  /** Any number of times, at least `min`. */
  | { readonly type: 'repeat'; readonly item: Expression; readonly min: number }
