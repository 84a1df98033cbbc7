/**
 * The machine's states. A text is read by stacks of frames: the top one takes the next byte, and may leave others above it or
 * make way for the one below.
 */
import type { ByteAutomaton } from '../automata/byte-automaton.ts'
import type { ArraySpec, ObjectSpec, Values } from '../schema/values.ts'
import type { Expression } from './expressions.ts'

/** What takes the place of a frame: frames from the lowest to the top one. Empty: the frame is done. */
export type Outcome = readonly Frame[]

export interface Frame {
  readonly id: number
  /** Labels with which the frame may be done before another byte. */
  readonly exits: readonly number[]
  /** Ways to go on with a byte. */
  step(byte: number): readonly Outcome[]
  /** The frame that this one becomes when what stood above it is done. */
  resume(label: number): Frame
  /** A byte on a short way to the end of what the frame stands for; -1 where it may be done, or is no text. */
  readonly ending: number
  /** What it stands for is an automaton: the walk over tokens goes by its table. */
  readonly automaton?: AutomatonState | undefined
  /** What it stands for is other frames: it is replaced by them before the next byte. */
  readonly expression?: Expression | undefined
}

export const none: readonly Outcome[] = []
export const done: readonly Outcome[] = [[]]

/** A frame that is a state of an automaton. */
export interface AutomatonState extends Frame, Limits {
  readonly table: ByteAutomaton
  readonly state: number
  /** Whether a state can still lead to an end, so many characters later. */
  lives(state: number, characters: number): boolean
  /** Whether a state with a label is an end, so many characters later. */
  accepts(state: number, characters: number): boolean
  /** After an added token that does not end the text. */
  restarted(): Frame
}

/** Makes frames, each once. */
export interface FrameMaker {
  readonly values: Values
  /** Properties come in the schema's order. */
  readonly ordered: boolean
  value(node: number, blanks?: number): Frame
  automaton(automaton: ByteAutomaton, state: number, beside?: Beside): AutomatonState
  /** @param min, max characters still to come */
  counted(automaton: ByteAutomaton, state: number, min: number, max: number): AutomatonState
  key(object: ObjectSpec, state: number, open: OpenKeys): AutomatonState
  object(spec: ObjectSpec, at: ObjectState): Frame
  array(spec: ArraySpec, phase: Phase, count: number, blanks: number): Frame
}

/** Keys that an object may still get: names, and others. */
export interface OpenKeys {
  readonly names: Uint32Array
  readonly free: boolean
}

/** What may stand in a text beside its bytes. */
export interface Beside {
  /** The text of an added token that may stand for all of this text, or end it. */
  readonly marker?: string | undefined
  /** Any added token that is not special may stand in it. */
  readonly free?: boolean | undefined
}

/** What restricts a text beside its automaton. */
export interface Limits {
  readonly count?: { readonly min: number; readonly max: number } | undefined
  readonly keys?: ({ readonly object: ObjectSpec } & OpenKeys) | undefined
  readonly beside?: Beside | undefined
}

/** open: behind the bracket. item: inside a key or value. colon: before it. after: behind a value. comma: behind it. */
export type Phase = 'open' | 'item' | 'colon' | 'after' | 'comma'

export interface ObjectState {
  readonly phase: Phase
  /** Bits of the names that the object has. */
  readonly seen: Uint32Array
  /** Keys that it has, as far as bounds make it count. */
  readonly count: number
  readonly blanks: number
  /** Of the key, before its value. */
  readonly label: number
}
