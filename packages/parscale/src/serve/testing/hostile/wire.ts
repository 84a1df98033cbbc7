/** Bytes to a server and back, at the level of sockets, where a client may do what it likes. */
import { connect, type Socket } from 'node:net'

export interface Exchange {
  /** Of each answer, in order: status, headers and what came of its body. */
  readonly answers: readonly { readonly status: number; readonly head: string; readonly body: string }[]
}

export const wait = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

/** More than any answer has: 2 MB are the embeddings of the most inputs. What is sent without end is not kept. */
const mostKept = 2 ** 23

export class Wire {
  readonly socket: Socket
  #isOver = false
  #received = ''
  #wake = () => {}

  private constructor(socket: Socket) {
    this.socket = socket
    socket.setEncoding('latin1')
    socket.on('data', (text: string) => {
      if (this.#received.length < mostKept) this.#received += text
      this.#wake()
    })
    socket.on('error', () => {}) // what a hostile client sees is its own affair
    const over = () => {
      this.#isOver = true
      this.#wake()
    }
    socket.on('close', over).on('end', over)
  }

  /** @param halfOpen the server's end of the connection does not end ours */
  static open(port: number): Promise<Wire> {
    return new Promise((resolve, reject) => {
      const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
      socket.once('error', reject)
      socket.once('connect', () => resolve(new Wire(socket)))
    })
  }

  async send(data: string | Uint8Array): Promise<void> {
    if (this.socket.destroyed) return
    await new Promise<void>((resolve) => {
      this.socket.once('close', resolve)
      this.socket.write(data, () => {
        this.socket.off('close', resolve)
        resolve()
      })
    })
  }

  /** Waits until the server says that no more comes, or so many answers are there. @param hasBody false for HEAD */
  async answers(count: number, hasBody = true, mostMs = 600_000): Promise<Exchange['answers']> {
    const until = performance.now() + mostMs
    const parsed = () => parsedAnswers(this.#received, hasBody)
    while (!this.#isOver && parsed().filter(({ whole }) => whole).length < count) {
      if (performance.now() > until)
        throw new Error(`no answer in ${mostMs} ms, only ${JSON.stringify(this.#received.slice(0, 300))}`)
      const woken = new Promise<void>((resolve) => {
        this.#wake = resolve
      })
      await Promise.race([woken, wait(500)])
    }
    const found = parsed()
    this.socket.destroy()
    return found
  }
}

/** HTTP/1.1 answers, one behind the other; bodies by their length or in chunks. */
function parsedAnswers(text: string, hasBody: boolean) {
  const answers: { status: number; head: string; body: string; whole: boolean }[] = []
  for (let rest = text; rest !== ''; ) {
    const end = rest.indexOf('\r\n\r\n')
    if (end < 0) break
    const head = rest.slice(0, end)
    const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(head)?.[1])
    if (!status) throw new Error(`this is no HTTP: ${JSON.stringify(head.slice(0, 100))}`)
    rest = rest.slice(end + 4)
    if (status < 200) continue
    if (!hasBody) {
      answers.push({ status, head, body: '', whole: true })
      continue
    }
    const length = /^content-length: (\d+)/im.exec(head)?.[1]
    if (/^transfer-encoding: chunked/im.test(head)) {
      const { body, whole, left } = chunks(rest)
      answers.push({ status, head, body, whole })
      rest = left
    } else if (length === undefined) {
      answers.push({ status, head, body: rest, whole: true })
      rest = ''
    } else {
      const body = rest.slice(0, Number(length))
      answers.push({ status, head, body, whole: body.length === Number(length) })
      rest = rest.slice(Number(length))
    }
  }
  return answers
}

function chunks(text: string): { body: string; whole: boolean; left: string } {
  let [body, rest] = ['', text]
  for (;;) {
    const end = rest.indexOf('\r\n')
    if (end < 0) return { body, whole: false, left: '' }
    const size = Number.parseInt(rest.slice(0, end), 16)
    if (Number.isNaN(size)) throw new Error(`this is no chunk: ${JSON.stringify(rest.slice(0, 100))}`)
    const next = end + 2 + size + 2
    if (rest.length < next) return { body, whole: false, left: '' }
    body += rest.slice(end + 2, end + 2 + size)
    rest = rest.slice(next)
    if (size === 0) return { body, whole: true, left: rest }
  }
}

export const requestText = (
  method: string,
  path: string,
  body = '',
  headers: Readonly<Record<string, string>> = { 'content-type': 'application/json' },
): string => {
  const all = { host: 'localhost', 'content-length': String(Buffer.byteLength(body)), ...headers }
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}`)
  return `${method} ${path} HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n${body}`
}
