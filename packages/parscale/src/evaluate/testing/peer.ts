/** lm_eval, unmodified, in an environment of its own. */
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { pythonEnvironment } from '../../../../../scripts/python-env.mjs'
import type { PeerRun } from './peer-runs.ts'

export interface PeerSample {
  readonly doc_id: number
  readonly filter: string
  readonly arguments: readonly (readonly unknown[])[]
  /** By request, by repeat: [log-likelihood, greedy], a log-likelihood, or a text. */
  readonly resps: readonly (readonly unknown[])[]
  readonly filtered_resps: readonly unknown[]
  readonly doc_hash: string
  readonly prompt_hash: string
  readonly target_hash: string
  readonly [metric: string]: unknown
}

export interface PeerAnswer {
  /** Without a model: [number of the question, what is asked]. */
  readonly requests?: readonly (readonly [number, readonly unknown[]])[]
  readonly results?: Readonly<Record<string, number | string>>
  readonly samples?: readonly PeerSample[]
  /** Of `evaluate`, the model loaded. */
  readonly seconds?: number
  /** The same in processor time, of all threads. */
  readonly cpu_seconds?: number
}

/** @throws with what it says where it fails */
export function askPeer(
  runs: readonly (PeerRun & {
    readonly model?: string
    readonly batch_size?: number
    readonly dtype?: 'float32' | 'float64'
    /** By question; of a task that repeats, by repeat. */
    readonly texts?: readonly (string | readonly string[])[]
  })[],
): Promise<PeerAnswer[]> {
  const script = fileURLToPath(new URL('lm_eval_peer.py', import.meta.url))
  const child = spawn(pythonEnvironment('evaluation'), [script], { stdio: ['pipe', 'pipe', 'pipe'] })
  let [stdout, stderr] = ['', '']
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text
  })
  child.stdin.end(JSON.stringify({ runs }))
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code) => {
      if (code !== 0) reject(new Error(`lm_eval failed (${code}): ${stderr.slice(-4000)}`))
      else resolve(JSON.parse(stdout) as PeerAnswer[])
    })
  })
}
