/** transformers' own rendering, in a Python process (scripts/templates/render-peer.py). */
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import { pythonEnvironment } from '../../../../../../scripts/python-env.mjs'
import { answersOfEach, openLinePeer } from '../../../testing/line-peer.ts'

export interface Rendering {
  readonly template: string
  readonly variables: Readonly<Record<string, unknown>>
  /** Seconds since 1970, for `strftime_now`. */
  readonly now: number
}

export type PeerAnswer = { readonly text: string } | { readonly error: string; readonly message: string }

export interface TemplatePeer {
  /** undefined where it hangs. */
  render(renderings: readonly Rendering[]): Promise<(PeerAnswer | undefined)[]>
  close(): void
}

export function openTemplatePeer(): TemplatePeer {
  const script = fileURLToPath(new URL('../../../../../../scripts/templates/render-peer.py', import.meta.url))
  const env = { ...process.env, TZ: 'UTC', PYTHONUTF8: '1' }
  const peer = openLinePeer(pythonEnvironment('templates'), [script], { env })
  return {
    render: (renderings) => answersOfEach(peer, renderings) as Promise<(PeerAnswer | undefined)[]>,
    close: () => peer.close(),
  }
}
