/** `parscale train` under mpirun, as people start it, on tiny runs; and what a run computed, to be compared to the bit. */
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { setTimeout as sleep } from 'node:timers/promises'
import { bundledCommand } from './bundle.ts'

/** Why no workers can be started here; undefined where they can. */
export function whyNoWorkers(): string | undefined {
  const mpirun = spawnSync('mpirun', ['--version'], { encoding: 'utf8' })
  if (mpirun.status !== 0 || !mpirun.stdout.includes('Open MPI')) return "there is no Open MPI's mpirun (Debian: openmpi-bin)"
  try {
    createRequire(import.meta.url).resolve('koffi')
  } catch {
    return 'the optional package koffi is not installed'
  }
  return undefined
}

const topics = ['whales', 'treaties', 'harpoons', 'commerce', 'the sea', 'the union', 'peace', 'storms']
const documents = Array.from(
  { length: 60 },
  (_, i) =>
    `Chapter ${i}. Of ${topics[i % 8]}. ${`They spoke of ${topics[(i * 3) % 8]} and ${topics[(i * 5) % 8]}. `.repeat(3 + (i % 4))}`,
)
const template =
  "{% for m in messages %}{{ '<' + m.role + '>' + m.content + '\\n' }}{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"

const shape = '--hidden-size 16 --intermediate-size 24 --layers 2 --heads 2 --kv-heads 1 --head-dim 8 --vocab-size 300'.split(' ')
const common = [
  ...'--batch-size 1 --micro-batches 8 --sequence-length 32 --learning-rate 1e-2 --held-out 0.2'.split(' '),
  ...'--evaluate-every 2 --set sample.tokens=4 --threads 1'.split(' '),
]
const streams = '--p 2 --prefix-tokens 4 --set evaluation.diagnoseTokens=16'.split(' ')

export interface Ended {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

export interface Started {
  readonly ended: Promise<Ended>
  /** Process ids of the workers, as soon as all are there. */
  workers(): Promise<number[]>
  kill(signal: NodeJS.Signals): void
}

/** Workers that are started alike. */
export interface App {
  readonly workers: number
  readonly args: readonly string[]
  readonly env?: Readonly<Record<string, string>>
}

/** What starts several workers: a command up to its `-n`. */
export interface Launcher {
  readonly command: readonly string[]
  readonly env?: NodeJS.ProcessEnv
}
const mpirun: Launcher = { command: ['mpirun', '--oversubscribe'] }

export interface WorkerRuns {
  /** The command, bundled. */
  readonly program: string
  at(...names: string[]): string
  /** Flags of a recipe on tiny data, without --out. */
  readonly recipes: Readonly<Record<'pretrain' | 'recycle' | 'sft', readonly string[]>>
  /** One app of mpirun for each list; `workers` of 1 and one list is a process alone. */
  start(apps: readonly App[], launcher?: Launcher): Started
  train(workers: number, args: readonly string[], launcher?: Launcher): Promise<Ended>
  remove(): void
}

export async function workerRuns(): Promise<WorkerRuns> {
  const scratch = mkdtempSync(join(tmpdir(), 'parscale-workers-'))
  const { program, folder } = await bundledCommand()
  const at = (...names: string[]) => join(scratch, ...names)
  const env = {
    ...process.env,
    PARSCALE_CACHE: at('cache'),
    // Containers run as root.
    OMPI_ALLOW_RUN_AS_ROOT: '1',
    OMPI_ALLOW_RUN_AS_ROOT_CONFIRM: '1',
  }
  writeFileSync(at('text.txt'), documents.join('\n\n'))
  const turns = documents.map((text, i) => ({
    messages: [
      { role: 'user', content: `Tell me of ${topics[i % 8]} ${i}` },
      { role: 'assistant', content: text.slice(0, 40) },
    ],
  }))
  writeFileSync(at('chat.jsonl'), turns.map((turn) => JSON.stringify(turn)).join('\n'))

  const start: WorkerRuns['start'] = (apps, launcher = mpirun) => {
    const size = apps.reduce((sum, { workers }) => sum + workers, 0)
    const words = apps.flatMap(({ workers, args, env: own = {} }, i) => [
      ...(i > 0 ? [':'] : []),
      ...['-n', String(workers)],
      ...Object.entries(own).flatMap(([name, value]) => ['-x', `${name}=${value}`]),
      ...[process.execPath, program, 'train', ...args],
    ])
    const child =
      size === 1
        ? spawn(process.execPath, [program, 'train', ...apps[0]!.args], { env: { ...env, ...apps[0]!.env } })
        : spawn(launcher.command[0]!, [...launcher.command.slice(1), ...words], { env: { ...launcher.env, ...env } })
    let [stdout, stderr] = ['', '']
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text
    })
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text
    })
    child.stdin.end()
    const ended = once(child, 'close').then(([code]) => ({ code: code as number | null, stdout, stderr }))
    let over = false
    void ended.then(() => {
      over = true
    })
    return {
      ended,
      kill: (signal) => void child.kill(signal),
      async workers() {
        for (;;) {
          const found = workersOf(program)
          if (found.length === size || over) return found
          await sleep(5)
        }
      },
    }
  }
  const train: WorkerRuns['train'] = (workers, args, launcher) => start([{ workers, args }], launcher).ended
  const base = at('base')
  const made = await train(1, [
    'pretrain',
    ...['--data', at('text.txt'), '--separator', '\n\n', ...shape, ...common, '--p', '1', '--steps', '4', '--out', base],
  ])
  if (made.code !== 0) throw new Error(made.stderr)
  writeFileSync(join(base, 'model', 'chat_template.jinja'), template)
  const text = ['--data', at('text.txt'), '--separator', '\n\n']
  return {
    program,
    at,
    recipes: {
      pretrain: ['pretrain', ...text, ...shape, ...common, ...streams, '--dropout', '0.1'],
      recycle: ['recycle', '--model', join(base, 'model'), ...text, ...common, ...streams],
      sft: ['sft', '--model', join(base, 'model'), '--data', at('chat.jsonl'), ...common, ...streams],
    },
    start,
    train,
    remove: () => {
      for (const path of [scratch, folder]) rmSync(path, { recursive: true, force: true })
    },
  }
}

/** Processes of a bundled command, whoever has started them: under Slurm that is a daemon. */
export const workersOf = (program: string): number[] =>
  readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => commandOf(pid).startsWith(`${process.execPath}\0${program}\0`) && isRunning(pid))
    .sort((a, b) => a - b)

/** Also false for one that is dead and that nobody has reaped. */
export function isRunning(pid: number): boolean {
  try {
    return !/\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'))
  } catch {
    return false
  }
}

function commandOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8')
  } catch {
    return ''
  }
}

/** Everything that a run computes: bytes of its last checkpoint and model, logs without what a clock says. */
export function outcomeOf(run: string, step: number) {
  const checkpoint = join(run, 'checkpoints', `step-${String(step).padStart(8, '0')}`)
  const model = ['model', 'streams'].map((name) => join(run, name)).find((path) => existsSync(path))!
  const tensors = readdirSync(model).filter((name) => name.endsWith('.safetensors'))
  const { state } = JSON.parse(readFileSync(join(checkpoint, 'state.json'), 'utf8'))
  return {
    files: Object.fromEntries(
      [
        ...['parameters.safetensors', 'moments.safetensors'].map((name) => join(checkpoint, name)),
        ...tensors.map((name) => join(model, name)),
      ].map((path) => [path.slice(run.length), readFileSync(path, 'latin1')]),
    ),
    position: state.position,
    evaluation: readFileSync(join(run, 'evaluation.json'), 'utf8'),
    metrics: lines(run, 'metrics.jsonl'),
    samples: lines(run, 'samples.jsonl'),
  }
}

export const lines = (run: string, name: string): Record<string, unknown>[] =>
  readFileSync(join(run, name), 'utf8')
    .split('\n')
    .slice(0, -1) // what is behind the last newline is being written
    .map((line) => {
      const { time: _, seconds: __, ...record } = JSON.parse(line)
      return record
    })
