/** transformers' own rendering, in a Python process (scripts/templates/render-peer.py). */
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { pythonEnvironment } from '../../../../../../scripts/python-env.mjs'

export interface Rendering {
  readonly template: string
  readonly variables: Readonly<Record<string, unknown>>
  /** Seconds since 1970, for `strftime_now`. */
  readonly now: number
}

export type PeerAnswer = { readonly text: string } | { readonly error: string; readonly message: string }

export interface TemplatePeer {
  render(rendering: Rendering): Promise<PeerAnswer>
  close(): void
}

export function openTemplatePeer(): TemplatePeer {
  const script = fileURLToPath(new URL('../../../../../../scripts/templates/render-peer.py', import.meta.url))
  const child = spawn(pythonEnvironment('templates'), [script], {
    stdio: ['pipe', 'pipe', 'ignore'],
    env: { ...process.env, TZ: 'UTC', PYTHONUTF8: '1' },
  })
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  return {
    async render(rendering) {
      child.stdin.write(`${JSON.stringify(rendering)}\n`)
      const { value, done } = await lines.next()
      if (done) throw new Error('the Python peer ended')
      return JSON.parse(value) as PeerAnswer
    },
    close: () => child.stdin.end(),
  }
}
