/** A proxy in a process of its own: tunnels (CONNECT) and plain requests, written to its standard output, with a password if one is given. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'

const program = `
  const { createServer, request } = require('node:http')
  const { connect } = require('node:net')
  const wanted = process.argv[1] && 'Basic ' + Buffer.from(process.argv[1]).toString('base64')
  const only = process.argv[2]
  const status = (asked) => (wanted && asked.headers['proxy-authorization'] !== wanted ? 407 : only ? Number(only) : 200)
  const server = createServer((asked, answer) => {
    console.log('plain ' + asked.url)
    if (status(asked) !== 200) return answer.writeHead(status(asked)).end()
    const { 'proxy-authorization': _, ...headers } = asked.headers
    request(asked.url, { lookup: (name, options, back) => (options.all ? back(null, [{ address: '127.0.0.1', family: 4 }]) : back(null, '127.0.0.1', 4)), method: asked.method, headers }, (inner) => {
      answer.writeHead(inner.statusCode, inner.rawHeaders)
      inner.pipe(answer)
    }).on('error', () => answer.destroy()).end()
  })
  server.on('connect', (asked, socket) => {
    console.log('connect ' + asked.url)
    if (status(asked) !== 200) return socket.end('HTTP/1.1 ' + status(asked) + ' No\\r\\n\\r\\n')
    const [, host, port] = /^(.*):(\\d+)$/.exec(asked.url)
    // Names of the test resolve nowhere: all are this machine.
    const inner = connect(Number(port), '127.0.0.1', () => {
      socket.write('HTTP/1.1 200 OK\\r\\n\\r\\n')
      inner.pipe(socket).pipe(inner)
    })
    inner.on('error', () => socket.destroy())
    socket.on('error', () => inner.destroy())
  })
  server.listen(0, '127.0.0.1', () => console.log('port ' + server.address().port))
`

export interface ProxyServer {
  /** HOST:PORT */
  readonly host: string
  /** What was asked for: "plain URL" and "connect HOST:PORT". */
  readonly asked: readonly string[]
  close(): Promise<void>
}

/** @param credentials USER:PASSWORD; @param status what is answered in place of a connection */
export async function startProxy(credentials = '', status = ''): Promise<ProxyServer> {
  const child: ChildProcess = spawn(process.execPath, ['-e', program, credentials, status], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const asked: string[] = []
  const port = await new Promise<string>((resolve) => {
    let rest = ''
    child.stdout!.setEncoding('utf8').on('data', (text: string) => {
      const lines = (rest + text).split('\n')
      rest = lines.pop()!
      for (const line of lines) {
        if (line.startsWith('port ')) resolve(line.slice(5))
        else asked.push(line)
      }
    })
  })
  return {
    host: `127.0.0.1:${port}`,
    asked,
    async close() {
      child.kill()
      await once(child, 'exit')
    },
  }
}
