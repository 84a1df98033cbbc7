/** A bounded queue between the engine's turn, which must not wait, and a reader, who may be slow or never read. */
import { runtimeError } from '../errors.ts'

/** One producer, one reader. Items pushed before `end` or `fail` are read first. */
export interface Channel<T> extends AsyncIterable<T> {
  /** @throws runtime error when it is full and items do not merge */
  push(item: T): void
  end(): void
  fail(error: unknown): void
  /** Undefined while there is room; else a promise, fulfilled when there is room or the reader has left. */
  room(): Promise<void> | undefined
}

/**
 * @param capacity items that are held, at least 1
 * @param merge joins an item to the last one held when there is no room for it, so that the producer need not wait
 */
export function channel<T>(capacity: number, merge?: (last: T, next: T) => T): Channel<T> {
  const items: T[] = []
  let over: { readonly error?: unknown } | undefined
  let left = false
  let wakeReader = () => {}
  let wakeProducer = () => {}
  const close = (how: { readonly error?: unknown }) => {
    over ??= how
    wakeReader()
  }
  async function* read(): AsyncGenerator<T, void> {
    try {
      for (;;) {
        while (items.length > 0) {
          const item = items.shift()!
          wakeProducer()
          yield item
        }
        if (over && 'error' in over) throw over.error
        if (over) return
        await new Promise<void>((resolve) => {
          wakeReader = resolve
        })
      }
    } finally {
      left = true
      wakeProducer()
    }
  }
  return {
    push(item) {
      if (left) return
      if (items.length < capacity) items.push(item)
      else if (merge) items.push(merge(items.pop()!, item))
      else throw runtimeError(`channel: it holds ${capacity} items and has no room for another; wait for room()`)
      wakeReader()
    },
    end: () => close({}),
    fail: (error) => close({ error }),
    room() {
      if (left || items.length < capacity) return undefined
      return new Promise((resolve) => {
        wakeProducer = resolve
      })
    },
    [Symbol.asyncIterator]: read,
  }
}

/** What a generator returns, whatever it yields. */
export async function drain<T, R>(generator: AsyncGenerator<T, R>): Promise<R> {
  for (;;) {
    const { done, value } = await generator.next()
    if (done) return value
  }
}
