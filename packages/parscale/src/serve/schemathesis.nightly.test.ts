/** PyPI's schemathesis makes requests of our OpenAPI document, right ones and wrong ones, and holds the answers against it. */
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import process from 'node:process'
import { expect, it } from 'vitest'
import { pythonEnvironment } from '../../../../scripts/python-env.mjs'
import { startTarget } from './testing/hostile/target.ts'

it('finds nothing that our document does not say', { timeout: 1_800_000 }, async () => {
  const schemathesis = join(dirname(pythonEnvironment('schemathesis')), 'schemathesis')
  const folder = mkdtempSync(join(tmpdir(), 'parscale-schemathesis-'))
  const server = await startTarget()
  try {
    const document = await (await fetch(`${server.url}/openapi.json`)).text()
    const file = join(folder, 'openapi.json')
    writeFileSync(file, JSON.stringify(JSON.parse(document, narrow)))
    const { code, output } = await finished(schemathesis, [
      ...[
        'run',
        file,
        '--url',
        server.url,
        '--seed',
        '1',
        '--max-examples',
        process.env.PARSCALE_EXAMPLES ?? '200',
        '--no-color',
        '--request-timeout',
        '60',
      ],
      // What is right by its types, and not supported (best_of, images), is refused by name.
      ...['--exclude-checks', 'positive_data_acceptance'],
    ])
    if (code !== 0) throw new Error(output.slice(-20_000))
    expect(output).toMatch(/[1-9]\d* generated/)
    expect(server.output.stderr).not.toMatch(/Error|Warning/)
  } finally {
    await server.stop()
    rmSync(folder, { recursive: true })
  }
})

/** The document with the one model that there is: without it, most requests would end before anything runs. */
function narrow(key: string, value: unknown): unknown {
  if (key !== 'properties' || typeof value !== 'object' || value === null || !('model' in value)) return value
  return { ...value, model: { const: 'small' } }
}

async function finished(program: string, args: readonly string[]): Promise<{ code: number | null; output: string }> {
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'], cwd: tmpdir() })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text: string) => (output += text))
  const code = await new Promise<number | null>((resolve) => child.on('close', resolve))
  return { code, output }
}
