/** Server-sent events from what yields them, at the reader's pace. */

export interface ServerEvent {
  /** Only where a protocol names its events. */
  readonly event?: string
  readonly data: unknown
}

/** What ends a stream of chat and text completions. */
export const doneEvent: ServerEvent = { data: '[DONE]' }

const utf8 = new TextEncoder()

export const eventText = ({ event, data }: ServerEvent): string =>
  `${event === undefined ? '' : `event: ${event}\n`}data: ${typeof data === 'string' ? data : JSON.stringify(data)}\n\n`

/**
 * Pulled by the reader: nothing is made that nobody reads.
 *
 * @param leave called when the reader is gone; the source must come to its end then
 * @param failed the last event of a source that throws
 */
export function eventStream(
  source: AsyncIterable<ServerEvent>,
  { leave, failed }: { leave: () => void; failed: (error: unknown) => ServerEvent },
): ReadableStream<Uint8Array> {
  const events = source[Symbol.asyncIterator]()
  let gone = false
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const end = (last?: ServerEvent) => {
          if (last && !gone) controller.enqueue(utf8.encode(eventText(last)))
          if (!gone) controller.close()
        }
        try {
          const { done, value } = await events.next()
          if (gone) return
          if (done) end()
          else controller.enqueue(utf8.encode(eventText(value)))
        } catch (error) {
          end(failed(error))
        }
      },
      cancel() {
        gone = true
        leave()
        // Not waited for: it may be in the middle of a step.
        events.return?.().catch(() => {})
      },
    },
    { highWaterMark: 0 },
  )
}

export type Merged<T, R> = { readonly index: number; readonly value: T } | { readonly index: number; readonly result: R }

/** What several generators yield, as it comes, and the result of each when it ends. Leaving it leaves them all. */
export async function* merge<T, R>(generators: readonly AsyncGenerator<T, R>[]): AsyncGenerator<Merged<T, R>, R[]> {
  const results: R[] = []
  // Not a race of promises: each race would cost as much as there are generators, and leave something with each that waits.
  const arrived: { readonly index: number; readonly next: Promise<IteratorResult<T, R>> }[] = []
  let wake = () => {}
  const step = (index: number) => {
    const next = generators[index]!.next()
    const arrive = () => {
      arrived.push({ index, next })
      wake()
    }
    next.then(arrive, arrive)
  }
  let open = generators.length
  for (const index of generators.keys()) step(index)
  try {
    while (open > 0) {
      const first = arrived.shift()
      if (!first) {
        await new Promise<void>((resolve) => {
          wake = resolve
        })
        continue
      }
      const { index } = first
      const next = await first.next
      if (next.done) {
        open--
        results[index] = next.value
        yield { index, result: next.value }
      } else {
        yield { index, value: next.value }
        step(index)
      }
    }
    return results
  } finally {
    for (const generator of generators) generator.return(undefined as R).catch(() => {})
  }
}
