/** The tools behind the official server of the Model Context Protocol, until standard input ends. */
import process from 'node:process'
import { McpServer, type ServerContext } from '@modelcontextprotocol/server'
import { serveStdio } from '@modelcontextprotocol/server/stdio'
import { anySignal } from '@parscale/core/internal'
import { packageVersion } from '../../package-files.ts'
import type { Io } from '../../terminal/io.ts'
import { progressOf } from './progress.ts'
import { type ToolContext, tools } from './tools.ts'

const instructions =
  'Language models with P parallel streams (ParScale) on this machine: text and log-probabilities from them, what they are and need, and the scaling law: fits and plans.'

/** Nothing but the protocol goes to standard output; what commands say goes to standard error. */
export async function serveTools(context: ToolContext & { readonly io: Io }): Promise<void> {
  const { io } = context
  const handle = serveStdio(() => mcpServer(context), { onerror: (error) => io.stderr(`mcp: ${error.message}\n`) })
  await new Promise<void>((resolve) => {
    if (io.signal.aborted || process.stdin.readableEnded) resolve()
    io.signal.addEventListener('abort', () => resolve(), { once: true })
    for (const event of ['end', 'close']) process.stdin.once(event, () => resolve())
  })
  await handle.close()
}

/** For one connection. */
export function mcpServer(context: ToolContext & { readonly io: Io }): McpServer {
  const server = new McpServer({ name: 'parscale', version: packageVersion() }, { instructions })
  for (const { name, title, description, input, call } of tools(context)) {
    const about = { title, description, inputSchema: input, annotations: { readOnlyHint: true, openWorldHint: false } }
    server.registerTool(name, about, async (args: unknown, { mcpReq }: ServerContext) => {
      const { io, told } = callIo(context.io, mcpReq)
      try {
        const { text, structured } = await call(args, io)
        return { content: [{ type: 'text', text }], structuredContent: structured }
      } catch (error) {
        // The caller is told what is wrong, and what to do; a call that it took back has no answer.
        if (mcpReq.signal.aborted || !(error instanceof Error)) throw error
        return { content: [{ type: 'text', text: error.message }], isError: true }
      } finally {
        await told()
      }
    })
  }
  return server
}

/** The process's own, but that the call's signal counts, and that progress goes to who asked for it. `told`: all of it is sent. */
function callIo(io: Io, { signal, _meta, notify }: ServerContext['mcpReq']): { io: Io; told: () => Promise<void> } {
  const token = _meta?.progressToken
  let sent = Promise.resolve()
  const progress = progressOf((report) => {
    if (token === undefined) return
    sent = notify({ method: 'notifications/progress', params: { progressToken: token, ...report } }).catch(() => {})
  })
  const own = { ...io, stdout: (text: string) => io.stderr(text), columns: undefined, color: false, progress }
  return { io: { ...own, signal: anySignal(io.signal, signal) }, told: () => sent }
}
