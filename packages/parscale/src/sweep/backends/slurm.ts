/**
 * Workers as the tasks of one job array of Slurm (sbatch(1)). A minute before its limit a task is signalled: its worker saves the run
 * and ends, and the task is put into the queue again. Whatever starts a task anew, `--requeue` included, starts a worker, and that
 * goes on with the run's folder.
 */
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { runtimeError, usageError } from '@parscale/core/internal'
import { writeWholeFile } from '@parscale/core/internal/node/disk'
import type { Io } from '../../terminal/io.ts'
import { sweepAdvice } from '../journal.ts'
import { type Backend, workerCommand } from './backend.ts'

export interface SlurmOptions {
  readonly folder: string
  readonly workers: number
  readonly slurm: Readonly<Record<string, string>>
  readonly io: Pick<Io, 'env'>
  /** Of an array that was submitted before. */
  readonly job: string | undefined
}

/** Seconds before the limit at which a worker is told. */
const signalSeconds = 60

export function slurmBackend({ folder, workers, slurm, io, job: before }: SlurmOptions): Backend {
  let job = before
  const env = io.env
  return {
    name: 'slurm',
    async check() {
      await run('sbatch', ['--version'], env)
      if (before !== undefined && (await tasksOf(before, env)) > 0)
        throw usageError(
          `${folder}: job ${before} of Slurm works on this sweep already; see parscale sweep status ${folder}, or end it with parscale sweep cancel ${folder}`,
          { file: folder, found: before },
        )
      await run('sinfo', ['--noheader', '--summarize'], env)
    },
    async start() {
      const script = join(folder, 'slurm.sh')
      await writeWholeFile(script, slurmScript(folder), sweepAdvice)
      const options = { signal: `B:USR1@${signalSeconds}`, 'job-name': 'parscale-sweep', ...slurm }
      job = parseJob(
        await run(
          'sbatch',
          [
            ...['--parsable', `--array=1-${workers}`, '--requeue', '--open-mode=append'],
            `--output=${join(folder, 'logs', 'slurm-%A_%a.log')}`,
            ...Object.entries(options).map(([key, value]) => `--${key}=${value}`),
            script,
          ],
          env,
        ),
      )
      return { event: 'started', on: 'slurm', job }
    },
    alive: async () => (job === undefined ? 0 : await tasksOf(job, env)),
    async stop() {
      // Those that run look at the folder themselves. That none is pending is a failure to scancel, without a word.
      if (job !== undefined) await run('scancel', ['--quiet', '--state=PENDING', job], env, /^\s*$|Invalid job id/i)
    },
  }
}

/** Tasks of an array that are in the queue or run. */
async function tasksOf(job: string, env: NodeJS.ProcessEnv): Promise<number> {
  // An array that is long over is unknown.
  const list = await run('squeue', ['--noheader', '--array', '--format=%i', `--jobs=${job}`], env, /Invalid job id/i)
  return list.split('\n').filter((line) => line.trim() !== '').length
}

function parseJob(text: string): string {
  const job = /^\d+/.exec(text.trim())?.[0]
  if (job !== undefined) return job
  throw runtimeError(`sbatch: expected the number of a job, got ${JSON.stringify(text.slice(0, 80))}`)
}

/** @param harmless what a failure may say and be none */
async function run(command: string, args: readonly string[], env: NodeJS.ProcessEnv, harmless?: RegExp): Promise<string> {
  try {
    return (await promisify(execFile)(command, args, { env, maxBuffer: 2 ** 26 })).stdout
  } catch (error) {
    const { code, stderr = '' } = error as NodeJS.ErrnoException & { stderr?: string }
    if (code === 'ENOENT')
      throw usageError(
        `--on slurm: there is no ${command} here; run this where jobs are submitted to Slurm (Debian: slurm-client), or use --on local`,
        { flag: 'on', cause: error },
      )
    if (harmless?.test(stderr)) return ''
    const said = stderr.trim().split('\n').at(-1)!.replace(`${command}: `, '')
    throw usageError(
      `--on slurm: ${command} failed: ${said || code}; see that Slurm runs here (sinfo), and the options below slurm: in the file`,
      {
        flag: 'on',
        cause: error,
      },
    )
  }
}

/** So often a task starts its worker again, when something kills it. */
const mostRestarts = 20

const slurmScript = (folder: string): string => `#!/bin/bash
# A worker of a sweep. Written by parscale sweep; begun anew, it goes on.
limit=
trap 'limit=yes; kill -TERM $worker' USR1
for restart in {0..${mostRestarts}}; do
  ${workerCommand(folder).map(quoted).join(' ')} &
  worker=$!
  wait $worker
  code=$?
  # A signal ends a wait, not the worker.
  while kill -0 $worker 2>/dev/null; do wait $worker; code=$?; done
  # 130: it ended when it was told to. Above: a signal has killed it.
  [ $code -gt 130 ] && [ -z "$limit" ] || break
done
paused=${quoted(join(folder, 'pause'))}
if [ -n "$limit" ] && [ $code -ge 130 ] && [ ! -e "$paused" ]; then
  scontrol requeue "\${SLURM_ARRAY_JOB_ID}_\${SLURM_ARRAY_TASK_ID}"
  exit 0
fi
[ $code = 130 ] && exit 0
exit $code
`

const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`
