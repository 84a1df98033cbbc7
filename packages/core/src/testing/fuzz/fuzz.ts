/**
 * Feeds a parser what mutate.ts makes. Every input must give a value that keeps the parser's own invariants, or a
 * ParscaleError of a documented kind, and must not allocate more than a stated multiple of its bytes. A failure says with
 * which seed and index it comes again.
 */
import { getHeapStatistics, setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { Worker } from 'node:worker_threads'
import { type ErrorKind, isParscaleError } from '../../errors.ts'
import { createRandom } from '../../random.ts'
import { mutate } from './mutate.ts'

export interface FuzzTarget {
  readonly name: string
  /** Valid files, the smaller the better. */
  readonly seeds: readonly Uint8Array[]
  /** Parses, and throws whatever it likes where an invariant does not hold. */
  parse(bytes: Uint8Array): unknown
  /** Kinds of errors that may come of a file. */
  readonly kinds: readonly ErrorKind[]
  /** Bytes that may be allocated on the way, garbage included, for a byte of the input. */
  readonly growth: number
  /** The command that repeats an input. Default: `npm run fuzz` with this parser. */
  again?(seed: number, index: number): string
  /** How many times as many inputs as others this target gets. Default 1. */
  readonly weight?: number
}

export interface FuzzOptions {
  readonly seed: number
  readonly count: number
  /** Index of the first input. Default 0. */
  readonly first?: number
  readonly signal?: AbortSignal
  readonly onProgress?: (done: number) => void
}

export interface FuzzResult {
  readonly inputs: number
  /** Of which the parser made something. */
  readonly accepted: number
}

/** An input that the parser did not take as it should. */
export class FuzzFailure extends Error {
  readonly bytes: Uint8Array

  constructor(target: FuzzTarget, { seed }: FuzzOptions, index: number, bytes: Uint8Array, cause: unknown) {
    const reason = cause instanceof Error ? (cause.stack ?? cause.message) : String(cause)
    const {
      name,
      again = (seed, index) => `npm run fuzz -- --parser ${JSON.stringify(name)} --seed ${seed} --first ${index} --count 1`,
    } = target
    super(`${name}: ${reason}\ninput: ${Buffer.from(bytes).toString('base64')}\nagain: ${again(seed, index)}`, { cause })
    this.name = 'FuzzFailure'
    this.bytes = bytes
  }
}

/** What parsing allocates for an input of no bytes: schemas, tables, the test's own numbers. */
const allocatedAnyway = 8 << 20
const inputsAtOnce = 1000

/** The input with this index. Each has random numbers of its own, so that it comes again without those before it. */
export const inputOf = ({ seeds }: FuzzTarget, seed: number, index: number): Uint8Array =>
  mutate(seeds, createRandom((seed % 2 ** 32) * 2 ** 21 + index))

/** @throws FuzzFailure for the first input that fails; the signal's reason when aborted */
export async function fuzz(target: FuzzTarget, options: FuzzOptions): Promise<FuzzResult> {
  const { seed, count, first = 0, signal, onProgress } = options
  let accepted = 0
  for (let index = first; index < first + count; index++) {
    if ((index - first) % inputsAtOnce === 0) {
      await new Promise(setImmediate) // lets signals in
      signal?.throwIfAborted()
      onProgress?.(index - first)
    }
    const bytes = inputOf(target, seed, index)
    watch(`${target.name}, seed ${seed}, input ${index}`)
    const most = target.growth * bytes.length + allocatedAnyway
    let { isAccepted, error, allocated } = await parseOnce(target, bytes)
    // V8 may count what earlier inputs left just now: an input that allocates too much does so behind a collection as well.
    for (let again = 0; again < 2 && allocated > most; again++) {
      collectGarbage()
      allocated = Math.min(allocated, (await parseOnce(target, bytes)).allocated)
    }
    if (isAccepted) accepted++
    else if (!isParscaleError(error) || !target.kinds.includes(error.kind))
      throw new FuzzFailure(target, options, index, bytes, error)
    if (allocated > most) {
      const reason = `allocated ${allocated} bytes for an input of ${bytes.length}, ${target.growth} for each are allowed`
      throw new FuzzFailure(target, options, index, bytes, reason)
    }
  }
  return { inputs: count, accepted }
}

function collectGarbage(): void {
  setFlagsFromString('--expose-gc')
  ;(runInNewContext('gc') as () => void)()
}

async function parseOnce(target: FuzzTarget, bytes: Uint8Array) {
  const before = allocatedBytes()
  let isAccepted = false
  let error: unknown
  try {
    await target.parse(bytes)
    isAccepted = true
  } catch (thrown) {
    error = thrown
  }
  return { isAccepted, error, allocated: allocatedBytes() - before } // less where garbage was collected meanwhile
}

function allocatedBytes(): number {
  const { used_heap_size, external_memory } = getHeapStatistics()
  return used_heap_size + external_memory
}

/** Ends the process, and says why, where one input takes longer than this. A parser that never comes back leaves no other way. */
const watchdogSeconds = 60
let isWatched = false

function watch(what: string): void {
  if (!isWatched) startWatchdog()
  isWatched = true
  Atomics.add(latest.beats, 0, 1)
  latest.text.fill(0)
  new TextEncoder().encodeInto(what, latest.text)
}

const shared = new SharedArrayBuffer(4 + 256)
const latest = { beats: new Int32Array(shared, 0, 1), text: new Uint8Array(shared, 4) }

function startWatchdog(): void {
  const code = `
    const { workerData } = require('node:worker_threads')
    const beats = new Int32Array(workerData, 0, 1)
    let last = -1, since = Date.now(), idle = 0
    setInterval(() => {
      if (beats[0] !== last) { last = beats[0]; since = Date.now(); return }
      const what = Buffer.from(new Uint8Array(workerData, 4)).toString().replace(/\\0+$/, '')
      if (what === '' || Date.now() - since < ${watchdogSeconds * 1000}) return
      require('node:fs').writeSync(2, 'fuzz: no end after ${watchdogSeconds} s: ' + what + '\\n')
      process.kill(process.pid, 'SIGKILL')
    }, 1000)`
  const worker = new Worker(code, { eval: true, workerData: shared })
  worker.unref()
}

/** The parser, seed and index of the input that is being parsed, or was last. */
export const watched = (): string => new TextDecoder().decode(new Uint8Array(latest.text)).replace(/\0+$/, '')

/** Nothing is being parsed any more. */
export function stopWatching(): void {
  latest.text.fill(0)
}
