/** A port for a server that cannot choose one itself. */
import { createServer } from 'node:net'

/**
 * One of those that no system gives to whoever asks for any port, or connects to a server: between this look and the use of it, only who
 * looks for one like this may take it.
 */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = 10_000 + Math.floor(Math.random() * 20_000)
    const isFree = await new Promise<boolean>((resolve) => {
      const server = createServer()
        .on('error', () => resolve(false))
        .listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
    })
    if (isFree) return port
  }
}
