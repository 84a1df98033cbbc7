/** The float32 tensors that training updates in place, by the names of the graph's inputs. */
import { Tensor } from 'onnxruntime-common'
import { elementCount } from '../../model/index.ts'
import { nextName } from './graphs.ts'

export type Tensors = Readonly<Record<string, Tensor>>

export interface Place {
  readonly name: string
  readonly shape: readonly number[]
}

/**
 * On the CPU they are written in place. On a device the engine makes new ones at each run, so that nothing crosses over; those
 * that are given up are freed at once.
 */
export class Buffers {
  readonly #places: readonly Place[]
  readonly #onDevice: boolean
  #current: Tensors

  /** @param data initial values, copied; what is undefined starts as zeros */
  constructor(places: readonly Place[], onDevice: boolean, data: (name: string) => Float32Array | undefined = () => undefined) {
    this.#places = places
    this.#onDevice = onDevice
    this.#current = newTensors(places, data)
  }

  /** What to feed, by input name. */
  get feeds(): Tensors {
    return this.#current
  }

  /** Where `next.<input>` is to be written; empty where the engine decides. */
  get outputs(): Tensors {
    if (this.#onDevice) return {}
    return Object.fromEntries(Object.entries(this.#current).map(([name, tensor]) => [nextName(name), tensor]))
  }

  /** Makes a run's results current. */
  advance(results: Tensors): void {
    if (!this.#onDevice) return
    this.dispose()
    this.#current = Object.fromEntries(this.#places.map(({ name }) => [name, results[nextName(name)]!]))
  }

  /** Zeros. On a device this frees what was there. */
  clear(): void {
    if (this.#onDevice) {
      this.dispose()
      this.#current = newTensors(this.#places)
    } else for (const tensor of Object.values(this.#current)) (tensor.data as Float32Array).fill(0)
  }

  dispose(): void {
    for (const tensor of Object.values(this.#current)) if (tensor.location !== 'cpu') tensor.dispose()
  }
}

function newTensors(places: readonly Place[], data: (name: string) => Float32Array | undefined = () => undefined): Tensors {
  const tensor = ({ name, shape }: Place) =>
    new Tensor('float32', data(name)?.slice() ?? new Float32Array(elementCount(shape)), shape)
  return Object.fromEntries(places.map((place) => [place.name, tensor(place)]))
}
