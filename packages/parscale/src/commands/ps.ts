/** `parscale ps`: the models of a server that runs. */
import { type Command, Option } from '@commander-js/extra-typings'
import { runtimeError, usageError } from '@parscale/core/internal'
import { type Io, report } from '../terminal/io.ts'
import { bytesText, textTable } from '../terminal/text-table.ts'

const examples = `
Examples:
  parscale ps
  PARSCALE_API_KEY=... parscale ps --url https://models.example --json`

interface Listed {
  readonly id: string
  readonly parscale: {
    readonly state: string
    readonly problem?: string
    readonly pinned: boolean
    readonly requests: number
    readonly p?: readonly number[]
    readonly rows?: number
    readonly cache_bytes?: number
    readonly last_used: number | null
  }
}

export function register(command: Command, io: Io): void {
  command
    .addOption(new Option('--url <url>', 'where the server is').default('http://127.0.0.1:8080'))
    .option('--json', 'print a JSON array')
    .addHelpText('after', examples)
    .action(async ({ url, json }) => {
      const models = await ask(url, io)
      if (json) return io.stdout(`${JSON.stringify(models, null, 2)}\n`)
      const head = ['NAME', 'STATE', 'P', 'REQUESTS', 'ROWS', 'CACHE', 'LAST USED']
      io.stdout(textTable([head, ...models.map(row)]))
      for (const { id, parscale } of models) if (parscale.problem !== undefined) report(io, `${id}: ${parscale.problem}\n`)
    })
}

const row = ({ id, parscale: { state, pinned, p, requests, rows, cache_bytes, last_used } }: Listed) => [
  id,
  `${state}${pinned ? ', pinned' : ''}`,
  p?.join(' ') ?? '-',
  String(requests),
  rows === undefined ? '-' : String(rows),
  cache_bytes === undefined ? '-' : bytesText(cache_bytes),
  last_used === null ? '-' : new Date(last_used * 1000).toISOString(),
]

async function ask(url: string, io: Io): Promise<Listed[]> {
  if (!URL.canParse(url))
    throw usageError(`--url: expected a URL such as http://127.0.0.1:8080, got ${url}`, { flag: '--url', found: url })
  const key = io.env.PARSCALE_API_KEY
  const headers = key ? { authorization: `Bearer ${key}` } : undefined
  const base = url.replace(/\/+$/, '')
  let response: Response
  try {
    response = await fetch(`${base}/v1/models`, { headers, signal: io.signal })
  } catch (cause) {
    if (io.signal.aborted) throw cause
    throw runtimeError(`there is no server at ${base}; start one with: parscale serve`, { cause })
  }
  const body = (await response.json().catch(() => undefined)) as { data?: Listed[]; error?: { message?: string } } | undefined
  if (!response.ok) throw runtimeError(`${base}: ${response.status} ${body?.error?.message ?? response.statusText}`)
  if (!body?.data?.every(({ parscale }) => parscale)) throw runtimeError(`${base} is no server of parscale`)
  return body.data
}
