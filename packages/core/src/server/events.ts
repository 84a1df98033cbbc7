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

/** What several generators yield, as it comes. Their results in their order. Leaving it leaves them all. */
export async function* merge<T, R>(
  generators: readonly AsyncGenerator<T, R>[],
): AsyncGenerator<{ readonly index: number; readonly value: T }, R[]> {
  const results: R[] = []
  const step = (index: number) => generators[index]!.next().then((next) => ({ index, next }))
  const open = new Map(generators.map((_, index) => [index, step(index)]))
  try {
    while (open.size > 0) {
      const { index, next } = await Promise.race(open.values())
      if (next.done) {
        results[index] = next.value
        open.delete(index)
        continue
      }
      yield { index, value: next.value }
      open.set(index, step(index))
    }
    return results
  } finally {
    for (const pending of open.values()) pending.catch(() => {})
    for (const generator of generators) generator.return(undefined as R).catch(() => {})
  }
}
