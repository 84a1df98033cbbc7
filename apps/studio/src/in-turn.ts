/** Work that can wait until the page is painted, a task for each piece, so that keys and clicks are answered between them. */
const waiting = new Set<() => void>()

function next(): void {
  const [work] = waiting
  if (!work) return
  try {
    work()
  } finally {
    waiting.delete(work)
    if (waiting.size > 0) setTimeout(next)
  }
}

/** Returns what takes the work back. */
export function inTurn(work: () => void): () => void {
  waiting.add(work)
  if (waiting.size === 1) setTimeout(next)
  return () => void waiting.delete(work)
}
