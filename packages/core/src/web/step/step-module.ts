/** The compiled step in a page: its memory, its threads, and functions with types in place of addresses (wasm/module.cc of @parscale/native). */
import { checkpointError, isParscaleError, resourceError, runtimeError, usageError } from '../../errors.ts'
import type { AdapterKind, StepBatch, StepOutput } from '../../packed/index.ts'
import { adapterKinds, type PackPlan, packedBytes, type ReadStored } from '../../packed/index.ts'
import { instanceOf, NoMemory, StepThreads } from './step-threads.ts'

interface Exports {
  /** Addresses are at most 2^32, and come back as signed numbers. 0: there is no such room. */
  allocate(bytes: number): number
  release(at: number): void
  openModel(at: number, bytes: number, threads: number, cacheType: number): void
  openAggregator(at: number, bytes: number): number
  positionBytes(): number
  cacheBytes(): number
  openRow(): number
  closeRow(row: number): void
  copyRows(targets: number, sources: number, count: number): void
  writePrefix(row: number, layer: number, positions: number, key: number, value: number): number
  openAdapters(count: number, rank: number): void
  adapterSize(kind: number, part: number): number
  writeAdapters(kind: number, layer: number, part: number, values: number): void
  step(
    ...[rows, count, ids, cosines, sines, wanted, tokens, hidden, finite]: [
      ...[number, number, number, number, number, number, number, number, number],
    ]
  ): void
  logits(hidden: number, count: number, out: number, powers: number): void
  aggregate(aggregator: number, streams: number, count: number, hidden: number, weights: number): void
}

/** In the order of kernels.h. */
const cacheTypes = ['f32', 'f16', 'int8'] as const

const pageBytes = 65_536
/** What the module itself needs, and its stack. */
const firstPages = 64

export interface StepModuleOptions {
  readonly module: WebAssembly.Module
  readonly threads: number
  /** Of a thread's program; undefined: there are no threads. */
  readonly startThread: (() => Worker) | undefined
  /** Most bytes of weights, keys and values. */
  readonly maximumBytes: number
}

export class StepModule {
  readonly #memory: WebAssembly.Memory
  readonly #exports: Exports
  readonly #threads: StepThreads | undefined
  readonly #maximumBytes: number
  #threadCount = 1
  #adapters = 0
  #scratch = { at: 0, bytes: 0 }
  #disposed = false
  /** Why it cannot be used any more. */
  #broken: string | undefined

  private constructor(memory: WebAssembly.Memory, exports: Exports, threads: StepThreads | undefined, maximumBytes: number) {
    this.#memory = memory
    this.#exports = exports
    this.#threads = threads
    this.#maximumBytes = maximumBytes
  }

  /** @throws runtime error where this browser does not take the module */
  static async start({ module, threads, startThread, maximumBytes }: StepModuleOptions): Promise<StepModule> {
    const maximum = Math.min(65_535, firstPages + Math.ceil(maximumBytes / pageBytes))
    let memory: WebAssembly.Memory
    try {
      memory = new WebAssembly.Memory({ initial: firstPages, maximum, shared: true })
    } catch (cause) {
      throw runtimeError(`this browser gives no memory of ${maximum * pageBytes} bytes to threads: ${(cause as Error).message}`, {
        cause,
      })
    }
    const exports = (await instanceOf(module, memory)) as unknown as Exports
    const place = (bytes: number) => exports.allocate(bytes) >>> 0
    // They come up while weights are packed.
    const others = startThread && new StepThreads(module, memory, threads - 1, startThread, place)
    return new StepModule(memory, exports, others, maximum * pageBytes)
  }

  /** With the one that calls. */
  get threads(): number {
    return this.#threadCount
  }

  /** @throws runtime error where the step does not take it; resource error where it does not fit; as `read`; the signal's reason */
  async openModel(
    plan: PackPlan,
    read: ReadStored,
    kv: 'f32' | 'f16' | 'int8',
    onBytes?: (bytes: number) => void,
    signal?: AbortSignal,
  ): Promise<void> {
    const at = await this.#pack(plan, read, onBytes, signal)
    this.#threadCount = 1 + ((await this.#threads?.count()) ?? 0)
    signal?.throwIfAborted()
    this.#call(() => this.#exports.openModel(at, plan.totalBytes, this.threads, cacheTypes.indexOf(kv)))
    await this.#threads?.begin()
  }

  /** Its number. @throws as openModel */
  async openAggregator(
    plan: PackPlan,
    read: ReadStored,
    onBytes?: (bytes: number) => void,
    signal?: AbortSignal,
  ): Promise<number> {
    const at = await this.#pack(plan, read, onBytes, signal)
    return this.#call(() => this.#exports.openAggregator(at, plan.totalBytes))
  }

  async #pack(
    plan: PackPlan,
    read: ReadStored,
    onBytes: ((bytes: number) => void) | undefined,
    signal: AbortSignal | undefined,
  ): Promise<number> {
    const at = this.#grown(plan.totalBytes)
    this.#bytes(at, plan.header.length).set(plan.header)
    for (const [i, tensor] of plan.tensors.entries()) {
      let to = at + plan.offsets[i]!
      for await (const bytes of packedBytes(tensor, read)) {
        signal?.throwIfAborted()
        this.#bytes(to, bytes.length).set(bytes)
        to += bytes.length
        onBytes?.(bytes.length)
      }
    }
    return at
  }

  /** Pages of memory for what stays. @throws resource error where there are not so many */
  #grown(bytes: number): number {
    if (bytes > this.#maximumBytes) throw outOfMemory(bytes)
    try {
      return this.#memory.grow(Math.ceil(bytes / pageBytes)) * pageBytes
    } catch {
      throw outOfMemory(bytes)
    }
  }

  get positionBytes(): number {
    return this.#exports.positionBytes()
  }

  /** Keys and values; 0 once disposed of. */
  get memoryBytes(): number {
    return this.#disposed || this.#broken !== undefined ? 0 : this.#exports.cacheBytes()
  }

  openRows(count: number): number[] {
    return this.#call(() => Array.from({ length: count }, () => this.#exports.openRow()))
  }

  /** Rows of a model that is disposed of are gone already. */
  closeRows(rows: readonly number[]): void {
    if (this.#disposed || this.#broken !== undefined) return
    for (const row of rows) this.#exports.closeRow(row)
  }

  copyRows(targets: readonly number[], sources: readonly number[]): void {
    const [to, from] = this.#given([Int32Array.from(targets), Int32Array.from(sources)])
    this.#call(() => this.#exports.copyRows(to!, from!, targets.length))
  }

  /** [kvHeads, n, headDim] each, into the first n positions of a row. @throws checkpoint error where they are not finite */
  writePrefix(row: number, layer: number, positions: number, key: Float32Array, value: Float32Array): void {
    this.#requireRoom(this.positionBytes * 64 * Math.ceil(positions / 64))
    const [keyAt, valueAt] = this.#given([key, value])
    if (this.#call(() => this.#exports.writePrefix(row, layer, positions, keyAt!, valueAt!)) === 0)
      throw checkpointError(`the prefix of layer ${layer} is not finite`)
  }

  openAdapters(count: number, rank: number): void {
    this.#call(() => this.#exports.openAdapters(count, rank))
    this.#adapters = count
  }

  writeAdapters(kind: AdapterKind, layer: number, part: number, values: Float32Array): void {
    const size = this.#adapters * this.#exports.adapterSize(adapterKinds.indexOf(kind), part)
    if (size === 0 || values.length !== size)
      throw usageError(`adapters of kind ${kind} have ${size} numbers, got ${values.length}`, { found: values.length })
    const [at] = this.#given([values])
    this.#call(() => this.#exports.writeAdapters(adapterKinds.indexOf(kind), layer, part, at!))
  }

  /**
   * @param tokenBytes what a step takes beside keys and values, of each token
   *
   * @throws resource error where there is no memory for new tokens, which then count as not there
   */
  step(batch: StepBatch, hiddenSize: number, tokenBytes: number): StepOutput {
    const R = batch.rows.length
    const rows = new ArrayBuffer(rowBytes * R)
    const [ints, floats] = [new Int32Array(rows), new Float32Array(rows)]
    for (let i = 0; i < R; i++) {
      ints.set([batch.rows[i]!, batch.prefixes[i]!, 0, batch.lengths[i]!, batch.counts[i]!, batch.adapters[i]!], 6 * i)
      floats[6 * i + 2] = batch.prefixScores[i]!
    }
    const tokens = batch.ids.length
    let pages = 0
    for (let i = 0; i < R; i++) {
      const from = batch.prefixes[i]! + batch.lengths[i]!
      pages += Math.ceil((from + batch.counts[i]!) / 64) - Math.floor(from / 64)
    }
    this.#requireRoom(this.positionBytes * 64 * pages + tokenBytes * tokens)
    const wanted = batch.wanted.reduce((sum, one) => sum + one, 0)
    const [rowsAt, idsAt, cosinesAt, sinesAt, wantedAt, hiddenAt, finiteAt] = this.#given([
      new Uint8Array(rows),
      batch.ids,
      batch.cosines,
      batch.sines,
      batch.wanted,
      4 * wanted * hiddenSize,
      R,
    ])
    this.#call(() => this.#exports.step(rowsAt!, R, idsAt!, cosinesAt!, sinesAt!, wantedAt!, tokens, hiddenAt!, finiteAt!))
    return { hidden: this.#floats(hiddenAt!, wanted * hiddenSize), finite: this.#bytes(finiteAt!, R).slice() }
  }

  /** [n, hidden] to [n, vocabulary]; and of each row the largest and the sum of e^(x - largest): [n, 2]. */
  logits(hidden: Float32Array, hiddenSize: number, vocabSize: number): { logits: Float32Array; powers: Float64Array } {
    const n = hidden.length / hiddenSize
    const [hiddenAt, logitsAt, powersAt] = this.#given([hidden, 4 * n * vocabSize, 16 * n])
    this.#call(() => this.#exports.logits(hiddenAt!, n, logitsAt!, powersAt!))
    const powers = new Float64Array(this.#bytes(powersAt!, 16 * n).slice().buffer)
    return { logits: this.#floats(logitsAt!, n * vocabSize), powers }
  }

  /** [N, P, hidden] to [N, hidden] and each stream's weight [N, P]. */
  aggregate(
    aggregator: number,
    p: number,
    streams: Float32Array,
    hiddenSize: number,
  ): { hidden: Float32Array; weights: Float32Array } {
    const n = streams.length / (p * hiddenSize)
    const [streamsAt, hiddenAt, weightsAt] = this.#given([streams, 4 * n * hiddenSize, 4 * n * p])
    this.#call(() => this.#exports.aggregate(aggregator, streamsAt!, n, hiddenAt!, weightsAt!))
    return { hidden: this.#floats(hiddenAt!, n * hiddenSize), weights: this.#floats(weightsAt!, n * p) }
  }

  /** Its memory goes when nobody has the module any more. */
  dispose(): void {
    this.#disposed = true
    this.#threads?.end()
  }

  /**
   * Copies arrays into memory of the module, where they stay until the next call of this kind; gives their addresses. A number: room of so many
   * bytes, for what comes out.
   */
  #given(parts: readonly (Uint8Array | Int32Array | Float32Array | number)[]): number[] {
    this.#mustLive()
    const sizes = parts.map((part) => 64 * Math.ceil((typeof part === 'number' ? part : part.byteLength) / 64))
    const bytes = sizes.reduce((sum, size) => sum + size, 64)
    if (bytes > this.#scratch.bytes) {
      if (this.#scratch.at > 0) this.#exports.release(this.#scratch.at)
      this.#scratch = { at: 0, bytes: 0 }
      this.#scratch = { at: this.#room(bytes), bytes }
    }
    let next = this.#scratch.at
    return parts.map((part, i) => {
      const at = next
      next += sizes[i]!
      if (typeof part !== 'number')
        this.#bytes(at, part.byteLength).set(new Uint8Array(part.buffer, part.byteOffset, part.byteLength))
      return at
    })
  }

  /** A copy of their own. */
  #floats(at: number, count: number): Float32Array {
    return new Float32Array(this.#memory.buffer, at, count).slice()
  }

  /** The module's memory grows, and a view does not. */
  #bytes(at: number, length: number): Uint8Array {
    return new Uint8Array(this.#memory.buffer, at, length)
  }

  /** @throws resource error where there is not so much */
  #room(bytes: number): number {
    // Beyond 32 bits a number would come to C++ as a small one.
    const at = bytes < 2 ** 32 - pageBytes ? this.#exports.allocate(bytes) >>> 0 : 0
    if (at === 0) throw outOfMemory(bytes)
    return at
  }

  #requireRoom(bytes: number): void {
    this.#mustLive()
    this.#exports.release(this.#room(bytes))
  }

  #mustLive(): void {
    if (this.#disposed) throw runtimeError('the model is disposed of; load it again')
    if (this.#broken !== undefined) throw runtimeError(`${this.#broken}; load the model again`)
  }

  /** What ends a call in its middle leaves the module in a state that nobody knows. */
  #call<T>(call: () => T): T {
    this.#mustLive()
    try {
      return call()
    } catch (error) {
      this.#broken = `the step failed: ${(error as Error).message}`
      if (error instanceof NoMemory) throw resourceError(`${this.#broken}; load the model again, and take fewer texts at once`)
      throw isParscaleError(error) ? error : runtimeError(this.#broken, { cause: error })
    }
  }
}

const rowBytes = 24

const outOfMemory = (bytes: number) =>
  resourceError(`the page has no ${bytes} bytes left; take fewer texts at once, a shorter context, a smaller P or kv: 'int8'`, {
    expected: bytes,
  })
