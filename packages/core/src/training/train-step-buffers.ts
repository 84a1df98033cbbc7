/** Two sets of float32 tensors under the same names: a run reads one set and writes the other, then they swap. */
import { Tensor } from 'onnxruntime-common'
import { elementCount } from '../model/index.ts'
import { nextName } from './train-step-graphs.ts'

export type Tensors = Readonly<Record<string, Tensor>>

export interface Place {
  readonly name: string
  readonly shape: readonly number[]
}

export class Buffers {
  #current: Tensors
  #spare: Tensors

  /** @param data initial values, copied; what is undefined starts as zeros */
  constructor(places: readonly Place[], data: (name: string) => Float32Array | undefined = () => undefined) {
    const set = (values: typeof data): Tensors =>
      Object.fromEntries(places.map(({ name, shape }) => [name, newTensor(shape, values(name))]))
    this.#current = set(data)
    this.#spare = set(() => undefined)
  }

  /** What to feed, by input name. */
  get feeds(): Tensors {
    return this.#current
  }

  /** Where `next.<input>` is to be written. */
  get outputs(): Tensors {
    return Object.fromEntries(Object.entries(this.#spare).map(([name, tensor]) => [nextName(name), tensor]))
  }

  /** Makes a run's results current. */
  advance(results: Tensors): void {
    const next = Object.keys(this.#current).map((name) => [name, results[nextName(name)]!])
    ;[this.#current, this.#spare] = [Object.fromEntries(next), this.#current]
  }

  clear(): void {
    for (const tensor of Object.values(this.#current)) (tensor.data as Float32Array).fill(0)
  }
}

function newTensor(shape: readonly number[], data?: Float32Array): Tensor {
  return new Tensor('float32', data?.slice() ?? new Float32Array(elementCount(shape)), shape)
}
