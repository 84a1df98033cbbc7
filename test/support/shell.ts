/** Runs documented commands as a reader would type them, with `npx parscale` being this checkout, from source. */
import { spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { root } from './markdown.ts'

/** Node's arguments that run TypeScript from source, wherever the working directory is. */
export const fromSource = ['--conditions=source', '--import', pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href]

export interface Finished {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

export interface Shell {
  run(command: string, args: readonly string[]): Promise<Finished>
  /** Runs one line of `sh`. */
  runLine(line: string): Promise<Finished>
  close(): void
}

/** A folder that looks like the repository's root, in which commands may leave files behind. Caches are its own. */
export function openShell(): Shell {
  const folder = mkdtempSync(join(tmpdir(), 'parscale-docs-'))
  for (const name of ['packages', 'fixtures', 'LICENSE', 'node_modules']) symlinkSync(join(root, name), join(folder, name))
  const bin = join(folder, 'bin')
  mkdirSync(bin)
  const quoted = [process.execPath, ...fromSource, join(root, 'packages/parscale/src/testing/main.ts')].map((arg) => `'${arg}'`)
  writeFileSync(join(bin, 'npx'), `#!/bin/sh\n[ "$1" = parscale ] || exit 127\nshift\nexec ${quoted.join(' ')} "$@"\n`, {
    mode: 0o755,
  })
  const env = {
    ...process.env,
    PATH: `${bin}${delimiter}${process.env.PATH}`,
    HF_HOME: join(folder, 'huggingface'),
    HF_HUB_OFFLINE: '1',
    PARSCALE_CACHE: join(folder, 'cache'),
  }
  const run: Shell['run'] = (command, args) =>
    new Promise((resolve, reject) => {
      const child = spawn(command, args, { cwd: folder, env, stdio: ['ignore', 'pipe', 'pipe'] })
      let [stdout, stderr] = ['', '']
      child.stdout.setEncoding('utf8').on('data', (text: string) => {
        stdout += text
      })
      child.stderr.setEncoding('utf8').on('data', (text: string) => {
        stderr += text
      })
      child.on('error', reject)
      child.on('close', (code) => resolve({ code, stdout, stderr }))
    })
  return {
    run,
    runLine: (line) => run('sh', ['-c', line]),
    close: () => rmSync(folder, { recursive: true, force: true }),
  }
}
