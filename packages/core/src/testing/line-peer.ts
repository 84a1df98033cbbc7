/** A reference implementation in a process beside us, which answers a line of JSON with a line of JSON and may hang on one. */
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'

export interface LinePeerOptions {
  readonly env?: NodeJS.ProcessEnv
  /** How long an answer may take. Default 30,000. */
  readonly timeoutMs?: number
}

export interface LinePeer {
  /**
   * The answers in order. Fewer than there are requests where the peer hung on one: that is the one behind the last answer. It is
   * killed then, and a new one answers the next requests, so that one hears nothing of what was said before.
   *
   * @throws Error where the process ends by itself
   */
  exchange(requests: readonly object[]): Promise<unknown[]>
  close(): void
}

/** The first answer waits for Python and its imports. */
const startMs = 180_000

export function openLinePeer(command: string, args: readonly string[], options: LinePeerOptions = {}): LinePeer {
  const { env, timeoutMs = 30_000 } = options
  const start = () => {
    const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'ignore'], ...(env && { env }) })
    // A killed peer takes no more requests; what it had not answered is known from its answers.
    child.stdin.on('error', () => {})
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
    return { child, lines, hasAnswered: false }
  }
  let peer: ReturnType<typeof start> | undefined
  let before: Promise<unknown> = Promise.resolve()
  const exchange = async (requests: readonly object[]): Promise<unknown[]> => {
    peer ??= start()
    const { child, lines } = peer
    child.stdin.write(requests.map((request) => `${JSON.stringify(request)}\n`).join(''))
    const answers: unknown[] = []
    for (const _ of requests) {
      const line = await orTimeout(lines.next(), peer.hasAnswered ? timeoutMs : startMs)
      if (line === undefined) {
        child.kill('SIGKILL')
        peer = undefined
        return answers
      }
      if (line.done) throw new Error(`${command} ${args.join(' ')} ended`)
      peer.hasAnswered = true
      answers.push(JSON.parse(line.value as string))
    }
    return answers
  }
  return {
    exchange(requests) {
      const answers = before.then(() => exchange(requests))
      before = answers.catch(() => {})
      return answers
    },
    close: () => peer?.child.stdin.end(),
  }
}

/** Answers of requests that stand alone; undefined for each on which the peer hung. */
export async function answersOfEach(peer: LinePeer, requests: readonly object[]): Promise<(unknown | undefined)[]> {
  const answers: unknown[] = []
  while (answers.length < requests.length) {
    answers.push(...(await peer.exchange(requests.slice(answers.length))))
    if (answers.length < requests.length) answers.push(undefined)
  }
  return answers
}

async function orTimeout<T>(promise: Promise<T>, ms: number): Promise<T | undefined> {
  let timer: NodeJS.Timeout | undefined
  const timeout = new Promise<undefined>((resolve) => {
    timer = setTimeout(() => resolve(undefined), ms)
  })
  try {
    return await Promise.race([promise, timeout])
  } finally {
    clearTimeout(timer)
  }
}
