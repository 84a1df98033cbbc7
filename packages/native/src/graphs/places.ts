/** Where the values of a graph are: in memory, or in the registers of a row kernel until somebody else needs them. */
import type { Value } from '@parscale/core/internal/graph'
import type { Register, RowKernel } from './row-kernel.ts'
import type { Step } from './steps.ts'
import { expanded, isContiguous, reshaped, rowMajor, type Storage, sizeOf, type View, whole } from './view.ts'

/** A value that is in memory once step `ready` is done. */
export interface Located {
  readonly view: View
  readonly ready: number
}

/** A value that a row kernel computes. */
export interface InKernel {
  readonly kernel: RowKernel
  readonly register: Register
  /** What the value's dimensions are; the register's elements in row-major order, or one for each row and the last axis repeated. */
  readonly dims: readonly number[]
  /** From the register's memory to the value. */
  readonly views: readonly ((view: View) => View | undefined)[]
  /** False: something but order-preserving views came between. */
  readonly inOrder: boolean
}

export type Place = Located | InKernel

export const isInKernel = (place: Place): place is InKernel => 'register' in place

/** The values of a graph, and the steps that make them. */
export class Places {
  readonly steps: Step[] = []
  readonly #places = new Map<string, Place>()

  place(value: Value): Place {
    const place = this.#places.get(value.name)
    if (!place) throw new Error(`${value.name} is not there yet`)
    return place
  }

  set(value: Value, place: Place): void {
    this.#places.set(value.name, place)
  }

  push(step: Step): number {
    this.steps.push(step)
    return this.steps.length - 1
  }

  arena(value: Value): Storage {
    return { dtype: value.dtype, elements: sizeOf(numbers(value)) }
  }

  /** In memory: what a kernel computes is kept from now on. */
  locate(place: Place): Located {
    if (!isInKernel(place)) return place
    const { kernel, register, views } = place
    register.storage ??= { dtype: 'float32', elements: register.kind === 'full' ? kernel.rows * kernel.columns : kernel.rows }
    let located: Located = {
      view: whole(register.storage, register.kind === 'full' ? [kernel.rows, kernel.columns] : [kernel.rows, 1]),
      ready: kernel.index,
    }
    for (const next of views) {
      const view = next(located.view)
      located = view ? { view, ready: located.ready } : this.#viewOfCopy(located, next)
    }
    return located
  }

  #viewOfCopy(located: Located, next: (view: View) => View | undefined): Located {
    const copy = this.copied(located.view)
    return { view: next(copy.view)!, ready: copy.ready }
  }

  copied(view: View): Located {
    const storage: Storage = { dtype: view.storage.dtype, elements: sizeOf(view.dims) }
    const to = whole(storage, view.dims)
    return { view: to, ready: this.push({ kind: 'copy', from: view, to }) }
  }

  contiguous(value: Value): View {
    const { view } = this.locate(this.place(value))
    return isContiguous(view) ? { ...view, strides: rowMajor(view.dims) } : this.copied(view).view
  }

  reshape(place: Place, dims: readonly number[]): Place {
    const next = (view: View) => reshaped(view, dims)
    if (!isInKernel(place)) {
      const view = next(place.view)
      return view ? { view, ready: place.ready } : this.#viewOfCopy(place, next)
    }
    const { kernel, register } = place
    const keepsOrder =
      register.kind === 'full'
        ? dims.at(-1) === kernel.columns || kernel.rows === 1
        : place.dims.at(-1) === 1 && dims.at(-1) === 1
    return { ...place, dims, views: [...place.views, next], inOrder: place.inOrder && keepsOrder }
  }

  expand(place: Place, dims: readonly number[]): Place {
    const next = (view: View) => expanded(view, dims)
    if (!isInKernel(place)) return { view: next(place.view), ready: place.ready }
    const { kernel, register } = place
    const rowsKept =
      sizeOf(dims.slice(0, -1)) === kernel.rows &&
      sizeOf(place.dims.slice(0, -1)) === kernel.rows &&
      dims.at(-1) === kernel.columns
    const keepsOrder = sizeOf(dims) === sizeOf(place.dims) || (register.kind === 'row' && rowsKept)
    return { ...place, dims, views: [...place.views, next], inOrder: place.inOrder && keepsOrder }
  }
}

/** A graph is not of the kind that is known here. */
export class NotLowered extends Error {}

export function numbers({ name, shape }: Value): readonly number[] {
  if (shape.every((dim) => typeof dim === 'number' && dim > 0)) return shape as readonly number[]
  throw new NotLowered(`${name} has the shape [${shape.join(', ')}], only numbers from 1 on are known here`)
}
