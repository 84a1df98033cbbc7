/**
 * The training step of several workers, and of one that sums in the same order. Each worker computes the gradients of its passes; they are
 * summed in a fixed tree (tree-sum.ts). Every piece of the parameters has an owner (pieces.ts): to it go all partial sums of the piece's
 * gradient, in the middle of the last pass already where the engine tells what is whole; it holds the piece's moments, which nobody else
 * has, updates the piece, and gives it to the others. (Optimiser state in shares is ZeRO's first stage, arXiv 1910.02054; sending to owners
 * is a reduce-scatter, but in our order: MPI's own reductions add in one that changes with size and workers.)
 *
 * Everything that a bit depends on follows from the plan and the passes, so that any number of workers gives the same bits on the CPU.
 */
import { Tensor } from 'onnxruntime-common'
import { usageError } from '../../errors.ts'
import { elementCount, type Parameter } from '../../model/index.ts'
import type { Runtime, Session } from '../../runtime/index.ts'
import type { Tensors } from '../step/buffers.ts'
import { gradientGraph, gradientName, momentName, nextName, type TrainPlan } from '../step/graphs.ts'
import { lossFeeds, type TokenBatch } from '../step/loss-feeds.ts'
import { clipping, decays } from '../step/optimizer.ts'
import { passNoise } from '../step/pass-noise.ts'
import {
  type Arrays,
  notFinite,
  requireState,
  type StepOptions,
  type Stepper,
  type StepReport,
  smoothingFeeds,
  type TrainState,
} from '../step/train-step.ts'
import { createUpdate, renewing, type Update } from '../step/update.ts'
import { elementsOfPiece, type Layout, layOut, type Piece, type Share, sharesOf, windowOf } from './pieces.ts'
import { foldParts, leavesOf, partsOf, pushPart, type Span } from './tree-sum.ts'
import { gatherFigures, tags, type Workers } from './workers.ts'

export interface ParallelOptions {
  /** Pieces are sent while the last pass is still being computed, where the engine tells which are whole. Default: true */
  readonly overlap?: boolean
}

/** Where the time of a step went, in seconds. */
export interface StepTimes {
  /** Of the passes. */
  readonly compute: number
  /** From the end of the passes until the sums and the norm are known. */
  readonly exchange: number
  readonly update: number
  /** Until the others' parameters are here. */
  readonly gather: number
}

/** Gradients of all parameters: of one pass, or the sum of several. */
interface Gradients {
  readonly values: Float32Array
  readonly outputs: Tensors
}

interface Held extends Span {
  readonly gradients: Gradients
}

interface Part extends Span {
  readonly array: Float32Array
}

export class ParallelStep implements Stepper {
  readonly #plan: TrainPlan
  readonly #microBatches: number
  readonly #workers: Workers
  readonly #overlap: boolean
  readonly #layout: Layout
  readonly #shares: readonly Share[]
  readonly #owners: readonly number[]
  readonly #feeds: ReturnType<typeof lossFeeds>
  readonly #noise: ReturnType<typeof passNoise>
  readonly #gradient: Session
  readonly #update: Update
  readonly #parameters: Float32Array
  readonly #parameterFeeds: Tensors
  /** Of the own share. */
  readonly #moments: { readonly m: Float32Array; readonly v: Float32Array }
  /** The first one is where the sum of the own pieces ends up. */
  readonly #gradients: Gradients[] = []
  /** For partial sums of others, a piece each. */
  readonly #rooms: Float32Array[] = []
  #times: StepTimes = { compute: 0, exchange: 0, update: 0, gather: 0 }

  private constructor(
    plan: TrainPlan,
    microBatches: number,
    workers: Workers,
    { overlap = true }: ParallelOptions,
    layout: Layout,
    gradient: Session,
    update: Update,
  ) {
    this.#plan = plan
    this.#microBatches = microBatches
    this.#workers = workers
    this.#overlap = overlap
    this.#layout = layout
    this.#shares = sharesOf(layout, workers.size)
    this.#owners = layout.pieces.map((_, i) => this.#shares.findIndex(({ first, end }) => first <= i && i < end))
    this.#feeds = lossFeeds(plan)
    this.#noise = passNoise(plan, plan.seed ?? 0)
    this.#gradient = gradient
    this.#update = update
    this.#parameters = new Float32Array(layout.elements)
    this.#parameterFeeds = this.#views(this.#parameters, (name) => name)
    const { from, to } = this.#share
    this.#moments = { m: new Float32Array(to - from), v: new Float32Array(to - from) }
  }

  /**
   * Compiles the plan's graphs and takes the state, which the first worker gives to the others.
   *
   * @param state asked of the first worker only
   * @param microBatches passes of a step, of all workers together: at least one for each
   * @throws usage error as TrainStep.create, or for fewer passes than workers
   */
  static async create(
    runtime: Runtime,
    plan: TrainPlan,
    state: TrainState | undefined,
    microBatches: number,
    workers: Workers,
    options: ParallelOptions = {},
  ): Promise<ParallelStep> {
    if (microBatches < workers.size)
      throw usageError(`${workers.size} workers, but ${microBatches} passes in a step: each needs one`)
    const layout = layOut(plan.trainable)
    const share = sharesOf(layout, workers.size)[workers.rank]!
    const gradient = await runtime.createSession(...renewing(gradientGraph(plan, { norms: false })))
    const own = layout.pieces.slice(share.first, share.end)
    const update = own.length > 0 ? await createUpdate(runtime, { ...plan, trainable: own.map(asParameter) }) : noUpdate
    const step = new ParallelStep(plan, microBatches, workers, options, layout, gradient, update)
    await step.#take(state)
    return step
  }

  async run(batches: readonly TokenBatch[], options: StepOptions): Promise<StepReport> {
    if (batches.length !== this.#microBatches) {
      throw usageError(`step ${options.step}: expected ${this.#microBatches} batches, got ${batches.length}`)
    }
    const { losses, squares } = await this.#computeGradients(batches, options)
    const bad = new Set(this.#layout.pieces.flatMap(({ parameter }, i) => (Number.isFinite(squares[i]) ? [] : [parameter.name])))
    if (bad.size > 0) throw notFinite([...bad], options.step)
    const loss = losses.reduce((sum, each) => sum + each, 0)
    const report = { loss, ...clipping(squares, this.#plan.optimizer.maxGradNorm) }
    if (options.accept?.(report) ?? true) {
      const begin = performance.now()
      await this.#update.run(this.#ownState(), this.#ownGradients(), { ...options, gradScale: report.gradScale })
      const updated = performance.now()
      await this.#gatherParameters()
      this.#times = { ...this.#times, update: (updated - begin) / 1000, gather: (performance.now() - updated) / 1000 }
    }
    return report
  }

  /** Of the last step. */
  get times(): StepTimes {
    return this.#times
  }

  get parameterFeeds(): Tensors {
    return this.#parameterFeeds
  }

  async readParameters(): Promise<Arrays> {
    return this.#byName(this.#parameters)
  }

  /** All take part. The moments are gathered by the first worker, and are with no other. */
  async readState(): Promise<Required<TrainState>> {
    const gathered: Record<'m' | 'v', Arrays> = { m: new Map(), v: new Map() }
    const { rank, size } = this.#workers
    for (const which of ['m', 'v'] as const) {
      const own = this.#moments[which]
      if (rank > 0) {
        if (own.length > 0) await this.#workers.send(0, tags.moments, own)
        continue
      }
      const all = size === 1 ? own : new Float32Array(this.#layout.elements)
      if (size > 1) all.set(own, this.#share.from)
      for (const [other, { from, to }] of this.#shares.entries())
        if (other > 0 && to > from) await this.#workers.receive(other, tags.moments, all.subarray(from, to))
      gathered[which] = this.#byName(all)
    }
    return { parameters: this.#byName(this.#parameters), ...gathered }
  }

  async dispose(): Promise<void> {
    await Promise.all([this.#gradient.dispose(), this.#update.dispose()])
  }

  get #share(): Share {
    return this.#shares[this.#workers.rank]!
  }

  /** From the first worker: everybody's parameters, and the moments of each share. */
  async #take(state: TrainState | undefined): Promise<void> {
    const { rank, size } = this.#workers
    if (rank > 0) {
      await this.#workers.receive(0, tags.parameters, this.#parameters)
      for (const which of ['m', 'v'] as const) {
        const own = this.#moments[which]
        if (own.length > 0) await this.#workers.receive(0, tags.moments, own)
      }
      return
    }
    if (!state) throw new Error('the first worker needs a state')
    requireState(this.#plan, state)
    this.#lay(state.parameters, this.#parameters, 0)
    for (let other = 1; other < size; other++) await this.#workers.send(other, tags.parameters, this.#parameters)
    for (const which of ['m', 'v'] as const) {
      this.#lay(state[which], this.#moments[which], this.#share.from)
      for (const [other, { from, to }] of this.#shares.entries()) {
        if (other === 0 || to === from) continue
        const theirs = new Float32Array(to - from)
        this.#lay(state[which], theirs, from)
        await this.#workers.send(other, tags.moments, theirs)
      }
    }
  }

  /** Fills in what lies from element `from` on, as far as the array goes. Of what is absent nothing is written. */
  #lay(arrays: Arrays | undefined, into: Float32Array, from: number): void {
    for (const { name } of this.#plan.trainable) {
      const array = arrays?.get(name)
      if (!array) continue
      const start = this.#layout.starts.get(name)! - from
      const part = array.subarray(Math.max(0, -start), Math.max(0, into.length - start))
      if (part.length > 0) into.set(part, Math.max(0, start))
    }
  }

  /** The loss of each pass, and the squared norm of each piece of the sum: the same with all workers. */
  async #computeGradients(
    batches: readonly TokenBatch[],
    options: StepOptions,
  ): Promise<{ losses: readonly number[]; squares: Float64Array }> {
    const { rank, size } = this.#workers
    const leaves = this.#microBatches
    const own = leavesOf(rank, size, leaves)
    const { firstPass = (options.step - 1) * leaves } = options
    const smoothing = smoothingFeeds(this.#plan, options)
    const held: Held[] = []
    const losses: number[] = []
    let exchange: Exchange | undefined
    const begin = performance.now()
    for (const [i, batch] of this.#feeds(batches, own).entries()) {
      const leaf = own.start + i
      const gradients = this.#free(held)
      const pass = { start: leaf, end: leaf + 1, gradients }
      if (leaf === own.end - 1) exchange = this.#exchange([...held, pass])
      const feeds = { ...this.#parameterFeeds, ...batch, ...smoothing, ...this.#noise(firstPass + leaf, batches[leaf]!) }
      const told = this.#overlap && exchange ? exchange.whole : undefined
      this.#workers.computing?.(true)
      const out = await this.#gradient.run(feeds, gradients.outputs, told).finally(() => this.#workers.computing?.(false))
      losses.push(Number(out.loss!.data[0]))
      if (!exchange) pushPart(held, pass, leaves, addHeld)
    }
    const computed = performance.now()
    const squares = await exchange!.end()
    const all = await gatherFigures(
      this.#workers,
      Float64Array.from([...losses, ...squares]),
      this.#shares.map(({ first, end }, other) => {
        const span = leavesOf(other, size, leaves)
        return span.end - span.start + end - first
      }),
    )
    const count = (other: number) => {
      const span = leavesOf(other, size, leaves)
      return span.end - span.start
    }
    this.#times = {
      compute: (computed - begin) / 1000,
      exchange: (performance.now() - computed) / 1000,
      update: 0,
      gather: 0,
    }
    return {
      losses: all.flatMap((figures, other) => [...figures.subarray(0, count(other))]),
      squares: Float64Array.from(all.flatMap((figures, other) => [...figures.subarray(count(other))])),
    }
  }

  /** Buffers for one more pass: the first that none of those held has. */
  #free(held: readonly Held[]): Gradients {
    const found = this.#gradients.find((each) => held.every(({ gradients }) => gradients !== each))
    if (found) return found
    const values = new Float32Array(this.#layout.elements)
    const made = { values, outputs: this.#views(values, (name) => nextName(gradientName(name))) }
    this.#gradients.push(made)
    return made
  }

  /** Sends and receives the partial sums of each piece as soon as it is whole in the last pass. */
  #exchange(held: readonly Held[]): Exchange {
    const leaves = this.#microBatches
    const { rank, size } = this.#workers
    const { pieces } = this.#layout
    const gates = new Map(this.#plan.trainable.map(({ name }) => [name, openable()]))
    const partsOfPiece = ({ start, end }: Piece): Part[] =>
      foldParts(
        held.map((each) => ({ start: each.start, end: each.end, array: each.gradients.values.subarray(start, end) })),
        leaves,
        addParts,
      )
    const squares = new Float64Array(this.#share.end - this.#share.first)
    const target = this.#gradients[0]!.values
    const spans = Array.from({ length: size }, (_, other) => partsOf(leavesOf(other, size, leaves), leaves))
    const send = async (piece: Piece, i: number) => {
      await gates.get(piece.parameter.name)!.opened
      await Promise.all(partsOfPiece(piece).map(({ array }) => this.#workers.send(this.#owners[i]!, i, array)))
    }
    const reduce = async (piece: Piece, i: number) => {
      const rooms: Float32Array[] = []
      const room = () => {
        const taken = this.#rooms.pop() ?? new Float32Array(elementsOfPiece)
        rooms.push(taken)
        return taken.subarray(0, piece.end - piece.start)
      }
      const received = spans.map((parts, other) => (other === rank ? [] : parts.map((part) => ({ ...part, array: room() }))))
      await Promise.all([
        gates.get(piece.parameter.name)!.opened,
        ...received.flatMap((parts, other) => parts.map(({ array }) => this.#workers.receive(other, i, array))),
      ])
      received[rank] = partsOfPiece(piece)
      const [sum, ...rest] = foldParts(received.flat(), leaves, addParts)
      if (!sum || rest.length > 0 || sum.start !== 0 || sum.end !== leaves) throw new Error('partial sums do not make a whole')
      const into = target.subarray(piece.start, piece.end)
      if (sum.array.buffer !== into.buffer) into.set(sum.array)
      squares[i - this.#share.first] = sumOfSquares(into)
      this.#rooms.push(...rooms)
    }
    // The backward pass begins with what lies last.
    const window = size > 1 ? windowOf(size) : Infinity
    const own = pieces.flatMap((piece, i) => (this.#owners[i] === rank ? [{ piece, i }] : [])).reverse()
    const others = pieces.flatMap((piece, i) => (this.#owners[i] === rank ? [] : [send(piece, i)]))
    const all = Promise.all([...others, limited(own, window, ({ piece, i }) => reduce(piece, i))])
    all.catch(() => {}) // said by `end`
    return {
      whole: (output) => gates.get(output.slice(nextName(gradientName('')).length))?.open(),
      async end() {
        for (const gate of gates.values()) gate.open()
        await all
        return squares
      },
    }
  }

  async #gatherParameters(): Promise<void> {
    const { rank, size, send, receive } = bound(this.#workers)
    if (size === 1) return
    const part = ({ from, to }: Share) => this.#parameters.subarray(from, to)
    const own = part(this.#share)
    await Promise.all(
      this.#shares.flatMap((share, other) => {
        if (other === rank) return []
        const theirs = part(share)
        return [
          ...(theirs.length > 0 ? [receive(other, tags.parameters, theirs)] : []),
          ...(own.length > 0 ? [send(other, tags.parameters, own)] : []),
        ]
      }),
    )
  }

  /** Views of the own pieces, under the names of `asParameter`. */
  #ownState() {
    const { first, end, from } = this.#share
    const pieces = this.#layout.pieces.slice(first, end)
    const feeds = Object.fromEntries(
      pieces.flatMap((piece): [string, Tensor][] => {
        const { name, shape } = asParameter(piece)
        const tensor = (array: Float32Array, offset: number) =>
          new Tensor('float32', array.subarray(piece.start - offset, piece.end - offset), [...shape])
        return [
          [name, tensor(this.#parameters, 0)],
          [momentName('m', name), tensor(this.#moments.m, from)],
          [momentName('v', name), tensor(this.#moments.v, from)],
        ]
      }),
    )
    const outputs = Object.fromEntries(Object.entries(feeds).map(([name, tensor]) => [nextName(name), tensor]))
    return { feeds, outputs, advance: () => {} }
  }

  #ownGradients() {
    const { first, end } = this.#share
    const { values } = this.#gradients[0]!
    const feeds = Object.fromEntries(
      this.#layout.pieces.slice(first, end).map((piece): [string, Tensor] => {
        const { name, shape } = asParameter(piece)
        return [gradientName(name), new Tensor('float32', values.subarray(piece.start, piece.end), [...shape])]
      }),
    )
    return { feeds, outputs: {}, advance: () => {} }
  }

  #byName(all: Float32Array): Map<string, Float32Array> {
    return new Map(
      this.#plan.trainable.map(({ name, shape }) => {
        const start = this.#layout.starts.get(name)!
        return [name, all.subarray(start, start + elementCount(shape))]
      }),
    )
  }

  #views(all: Float32Array, nameOf: (name: string) => string): Tensors {
    const arrays = this.#byName(all)
    return Object.fromEntries(
      this.#plan.trainable.map(({ name, shape }) => [nameOf(name), new Tensor('float32', arrays.get(name)!, [...shape])]),
    )
  }
}

interface Exchange {
  /** This output of the last pass will not change any more. */
  whole(output: string): void
  /** The last pass is over. @returns the squared norms of the own pieces */
  end(): Promise<Float64Array>
}

/** A piece as a parameter of its own, for the graphs of the update: of two dimensions where it decays. */
function asParameter({ parameter, start, end }: Piece): Parameter {
  const shape = decays(parameter.shape) ? [1, end - start] : [end - start]
  return { name: `piece.${start}`, shape, part: parameter.part }
}

const noUpdate: Update = { run: async () => {}, dispose: async () => {} }

/** Float addition: doubles hold the exact sum of two floats closely enough that rounding twice is rounding once. */
function addOnto(left: Float32Array, right: Float32Array): void {
  for (let i = 0; i < left.length; i++) left[i]! += right[i]!
}

function addHeld(left: Held, right: Held): Held {
  addOnto(left.gradients.values, right.gradients.values)
  return { start: left.start, end: right.end, gradients: left.gradients }
}

function addParts(left: Part, right: Part): Part {
  addOnto(left.array, right.array)
  return { start: left.start, end: right.end, array: left.array }
}

function sumOfSquares(values: Float32Array): number {
  let sum = 0
  for (let i = 0; i < values.length; i++) sum += values[i]! * values[i]!
  return sum
}

function openable(): { opened: Promise<void>; open: () => void } {
  let open = () => {}
  const opened = new Promise<void>((resolve) => {
    open = resolve
  })
  return { opened, open }
}

/** So many at a time, in their order. */
async function limited<T>(items: readonly T[], count: number, work: (item: T) => Promise<void>): Promise<void> {
  const queue = items.values()
  const worker = async () => {
    for (const item of queue) await work(item)
  }
  await Promise.all(Array.from({ length: Math.min(count, items.length) }, worker))
}

const bound = (workers: Workers) => ({
  rank: workers.rank,
  size: workers.size,
  send: workers.send.bind(workers),
  receive: workers.receive.bind(workers),
})
