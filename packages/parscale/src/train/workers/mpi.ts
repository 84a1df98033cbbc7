/**
 * Messages by Open MPI's library, called through koffi. Everything is non-blocking and on the main thread: MPI is asked now and then what
 * has arrived (MPI_Testsome), which is also when it moves messages on. MPI_COMM_WORLD and the types are addresses of symbols in Open MPI
 * (mpi.h, OMPI_PREDEFINED_GLOBAL); in MPICH they are numbers, and its library has other names.
 */
import process from 'node:process'
import { runtimeError, usageError } from '@parscale/core/internal'
import type { Message, Workers } from '@parscale/core/internal/training'
import type { Launched } from './launcher.ts'

/** Counts of MPI are ints. */
const mostBytes = 1 << 30

interface Library {
  readonly world: bigint
  readonly byte: bigint
  readonly address: (array: ArrayBufferView) => bigint
  readonly isend: (at: bigint, bytes: number, type: bigint, to: number, tag: number, world: bigint, request: bigint) => number
  readonly irecv: (at: bigint, bytes: number, type: bigint, from: number, tag: number, world: bigint, request: bigint) => number
  readonly testSome: (count: number, requests: bigint, done: bigint, which: bigint, statuses: null) => number
  readonly abort: (world: bigint, code: number) => number
  readonly finalize: () => number
}

const names = process.platform === 'darwin' ? ['libmpi.40.dylib', 'libmpi.dylib'] : ['libmpi.so.40', 'libmpi.so']

/** MPI_THREAD_SINGLE: no thread but this one calls MPI. */
const threadSingle = 0

/**
 * Joins the others that the launcher has started. Waits for all of them.
 *
 * @throws usage error where koffi or Open MPI is missing, or MPI knows of other processes than the launcher
 */
export async function connect({ rank, size, launcher }: Launched): Promise<MpiWorkers> {
  const { default: koffi } = await import('koffi').catch((cause: unknown) => {
    throw usageError(
      `${launcher} has started ${size} workers, which need the optional package koffi to reach each other (npm install koffi); or start one without ${launcher}`,
      { cause },
    )
  })
  const failures: string[] = []
  const load = (name: string) => {
    try {
      // Its plug-ins look for its symbols.
      return koffi.load(name, { global: true })
    } catch (error) {
      failures.push((error as Error).message)
      return undefined
    }
  }
  const library = names.map(load).find((loaded) => loaded !== undefined)
  if (!library) {
    throw usageError(
      `${launcher} has started ${size} workers, but Open MPI's library cannot be loaded (${failures[0]}); install it (Debian: openmpi-bin), or name its folder in LD_LIBRARY_PATH`,
    )
  }
  const symbol = (name: string): bigint => {
    try {
      return library.symbol(name) as bigint
    } catch (cause) {
      throw usageError(`the MPI library that was found is not Open MPI: it has no ${name}`, { cause })
    }
  }
  const world = symbol('ompi_mpi_comm_world')
  const byte = symbol('ompi_mpi_byte')
  const init = library.func('int MPI_Init_thread(void *argc, void *argv, int required, _Out_ int *provided)')
  const rankOf = library.func('int MPI_Comm_rank(void *comm, _Out_ int *rank)')
  const sizeOf = library.func('int MPI_Comm_size(void *comm, _Out_ int *size)')
  const failed: number = init(null, null, threadSingle, [0])
  if (failed !== 0) throw runtimeError(`MPI_Init failed with ${failed}`)
  const [ownRank, ownSize] = [[0], [0]]
  rankOf(world, ownRank)
  sizeOf(world, ownSize)
  const mpi: Library = {
    world,
    byte,
    address: (array) => koffi.address(array),
    isend: library.func('int MPI_Isend(void *buf, int count, void *type, int dest, int tag, void *comm, void *request)'),
    irecv: library.func('int MPI_Irecv(void *buf, int count, void *type, int source, int tag, void *comm, void *request)'),
    testSome: library.func('int MPI_Testsome(int count, void *requests, void *done, void *which, void *statuses)'),
    abort: library.func('int MPI_Abort(void *comm, int code)'),
    finalize: library.func('int MPI_Finalize()'),
  }
  if (ownRank[0] !== rank || ownSize[0] !== size) {
    const advice =
      launcher === 'srun' ? 'start them with srun --mpi=pmix' : "start them with the mpirun of this library's Open MPI"
    throw usageError(
      `${launcher} has started worker ${rank} of ${size}, but Open MPI knows it as ${ownRank[0]} of ${ownSize[0]}: they cannot reach each other; ${advice}`,
    )
  }
  return new MpiWorkers(mpi, rank, size)
}

interface Waiting {
  readonly resolve: () => void
  /** Kept until MPI is done with it. */
  readonly message: Message
}

/** How long after something has happened MPI is asked without a pause, in milliseconds; then with one, which leaves the core to others. */
const eagerMs = 0.5
const pauseMs = 1
/** While the engine computes: each look takes its core away. At 1 ms two workers took 14 to 28 % more processor time than one. */
const computingPauseMs = 4

export class MpiWorkers implements Workers {
  readonly rank: number
  readonly size: number
  readonly #mpi: Library
  /** MPI_Request is a pointer. Those in use stand at the front. */
  #requests = new BigUint64Array(64)
  #which = new Int32Array(64)
  readonly #done = new Int32Array(1)
  readonly #waiting: Waiting[] = []
  #polling: NodeJS.Timeout | NodeJS.Immediate | undefined
  #lastProgress = 0
  #computing = false
  #ended = false

  constructor(mpi: Library, rank: number, size: number) {
    this.#mpi = mpi
    this.rank = rank
    this.size = size
  }

  send(to: number, tag: number, message: Message): Promise<void> {
    return this.#start(message, (at, bytes, request) => {
      const { isend, byte, world } = this.#mpi
      return isend(at, bytes, byte, to, tag, world, request)
    })
  }

  receive(from: number, tag: number, into: Message): Promise<void> {
    return this.#start(into, (at, bytes, request) => {
      const { irecv, byte, world } = this.#mpi
      return irecv(at, bytes, byte, from, tag, world, request)
    })
  }

  computing(is: boolean): void {
    if (this.#computing === is) return
    this.#computing = is
    this.#forget()
    this.#lastProgress = performance.now()
    this.#poll()
  }

  /** After `meet`: all have come to their end. */
  finalize(): void {
    this.#stop()
    this.#mpi.finalize()
  }

  /** Nothing is waited for any more. */
  leave(): void {
    this.#stop()
  }

  /** Ends all workers, and this process. */
  abort(code: number): void {
    this.#stop()
    this.#mpi.abort(this.#mpi.world, code)
  }

  async #start(message: Message, begin: (at: bigint, bytes: number, request: bigint) => number): Promise<void> {
    const at = this.#mpi.address(message)
    const parts: Promise<void>[] = []
    for (let from = 0; from < message.byteLength; from += mostBytes) {
      const i = this.#waiting.length
      if (i === this.#requests.length) this.#grow()
      const code = begin(
        at + BigInt(from),
        Math.min(mostBytes, message.byteLength - from),
        this.#mpi.address(this.#requests) + BigInt(8 * i),
      )
      if (code !== 0) throw runtimeError(`MPI cannot take a message: error ${code}`)
      parts.push(new Promise((resolve) => this.#waiting.push({ resolve, message })))
    }
    this.#lastProgress = performance.now()
    this.#poll()
    await Promise.all(parts)
  }

  #grow(): void {
    const requests = new BigUint64Array(2 * this.#requests.length)
    requests.set(this.#requests)
    this.#requests = requests
    this.#which = new Int32Array(requests.length)
  }

  #poll(): void {
    if (this.#polling !== undefined || this.#ended || this.#waiting.length === 0) return
    const next = () => {
      this.#polling = undefined
      this.#test()
      this.#poll()
    }
    const eager = !this.#computing && performance.now() - this.#lastProgress < eagerMs
    this.#polling = eager ? setImmediate(next) : setTimeout(next, this.#computing ? computingPauseMs : pauseMs)
  }

  #test(): void {
    const { testSome, address } = this.#mpi
    const count = this.#waiting.length
    const code = testSome(count, address(this.#requests), address(this.#done), address(this.#which), null)
    if (code !== 0) throw runtimeError(`MPI lost a message: error ${code}`)
    const done = this.#done[0]!
    if (done <= 0) return
    this.#lastProgress = performance.now()
    // From behind, so that what moves into a gap is none of those.
    for (const i of this.#which.slice(0, done).sort().reverse()) {
      const { resolve } = this.#waiting[i]!
      const last = this.#waiting.pop()!
      if (i < this.#waiting.length) {
        this.#waiting[i] = last
        this.#requests[i] = this.#requests[this.#waiting.length]!
      }
      resolve()
    }
  }

  #stop(): void {
    this.#ended = true
    this.#forget()
  }

  #forget(): void {
    if (this.#polling === undefined) return
    clearTimeout(this.#polling as NodeJS.Timeout)
    clearImmediate(this.#polling as NodeJS.Immediate)
    this.#polling = undefined
  }
}
