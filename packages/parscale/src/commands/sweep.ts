/** `parscale sweep`: many runs from one file, on this machine's processes, on Slurm or on Redis. */
import { readdir, readFile, stat } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { type Command, Option } from '@commander-js/extra-typings'
import { usageError } from '@parscale/core/internal'
import { isStorageName } from '../storage/address.ts'
import type { BackendName } from '../sweep/journal.ts'
import { readSweepFile } from '../sweep/sweep-file.ts'
import { SweepFolder } from '../sweep/sweep-folder.ts'
import type { Io } from '../terminal/io.ts'
import { deviceOption, integer } from './options.ts'
import { configuredCells } from './sweep-configs.ts'

const examples = `
Without a command: run.

Examples:
  parscale sweep law.yaml --out sweeps/law                          here, a worker for each core
  parscale sweep law.yaml --out sweeps/law --on slurm --workers 16  sixteen tasks of a job array
  parscale sweep status sweeps/law
  parscale fit sweeps/law/results.csv                               the law of what was trained

Ctrl-C pauses: every worker saves its run and ends. The same command again goes on.
docs/sweep.md explains the file, the rules that stop runs early, and Slurm and Redis.`

const redisOption = new Option('--redis <url>', '--on bullmq: the server (default: redis://127.0.0.1:6379)').env('REDIS_URL')

export function register(command: Command, io: Io): void {
  command.addHelpText('after', examples)
  command
    .command('run', { isDefault: true })
    .description('begin a sweep, or go on with it')
    .argument('<file>', 'YAML: recipe, base, axes, rules')
    .option('--out <folder>', 'folder of the sweep; it may have this one already')
    .addOption(
      new Option('--on <what>', 'what workers run on').choices(['local', 'slurm', 'bullmq'] as const).default('local' as const),
    )
    .addOption(
      new Option(
        '--workers <n>',
        'processes or tasks; 0: none, others start them by parscale sweep work (default: one for each core; slurm: one for each run, at most 100)',
      ).argParser(integer(0, 10_000)),
    )
    .addOption(new Option('--threads <n>', 'CPU threads of each worker').argParser(integer(1)).default(1))
    .addOption(deviceOption)
    .addOption(redisOption)
    .option('--detach', 'slurm: return once the job is submitted')
    .option('--dry-run', 'show the runs, and make nothing')
    .option('--json', 'print the status at the end as JSON')
    .addHelpText('after', docsHint)
    .action((file, flags) => run(io, file, flags))
  command
    .command('status')
    .description('what is done, what runs, what is left')
    .argument('<folder>', 'folder of the sweep')
    .option('--json', 'print JSON: counts, steps, and every run')
    .action(async (path, flags) => {
      const { sweepStatus } = await import('../sweep/status.ts')
      const { statusText } = await import('./sweep-report.ts')
      const status = await sweepStatus(await SweepFolder.open(path))
      io.stdout(flags.json ? `${JSON.stringify(status, null, 2)}\n` : statusText(status, io.columns))
    })
  command
    .command('cancel')
    .description('end all workers; runs are saved, and the sweep can be gone on with')
    .argument('<folder>', 'folder of the sweep')
    .action(async (path) => {
      const { cancelSweep } = await import('../sweep/control.ts')
      await cancelSweep(await SweepFolder.open(path), io)
    })
  command
    .command('logs')
    .description('what a run has said, or the names of those that have said something')
    .argument('<folder>', 'folder of the sweep')
    .argument('[run]', 'name of a run, as status shows it')
    .action((path, name) => logs(io, path, name))
  command
    .command('work')
    .description('be a worker of a sweep, until nothing is left to do')
    .argument('<folder>', 'folder of the sweep')
    .addOption(redisOption)
    .action(async (path, flags) => {
      io.finishWithoutReader?.()
      const { workFor } = await import('../sweep/control.ts')
      const finished = await workFor(await SweepFolder.open(path), io, flags.redis)
      if (finished) return io.stderr('nothing is left to do\n')
      io.signal.throwIfAborted()
      io.stderr('the sweep is paused; this worker ends\n')
    })
}

const docsHint = `
docs/sweep.md explains the file and what --on needs.`

interface RunFlags {
  readonly out?: string | undefined
  readonly on: BackendName
  readonly workers?: number | undefined
  readonly threads: number
  readonly device: 'cpu' | 'webgpu' | 'cuda'
  readonly redis?: string | undefined
  readonly detach?: true | undefined
  readonly dryRun?: true | undefined
  readonly json?: true | undefined
}

async function run(io: Io, path: string, flags: RunFlags): Promise<void> {
  const isFolder = await stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  )
  if (isFolder)
    throw usageError(`sweep: ${path} is a folder; give the YAML file, or a command: parscale sweep status ${path}`, {
      found: path,
    })
  if (flags.detach && flags.on !== 'slurm')
    throw usageError('--detach has an effect with --on slurm only: other workers end with this command', { flag: 'detach' })
  if (flags.workers === 0 && flags.on === 'slurm')
    throw usageError('--workers 0 with --on slurm would submit no task; leave one of them out', { flag: 'workers' })
  const file = await readSweepFile(path)
  const cells = await configuredCells(file, io)
  const { recipe, seeds, stop, more, slurm } = file
  const plan = {
    cells,
    seeds,
    stop,
    more,
    recipe,
    axes: file.axes.map(({ name }) => name),
    device: flags.device,
    threads: flags.threads,
    slurm,
  }
  const count = cells.length * seeds.length
  if (flags.dryRun) {
    const { planText } = await import('./sweep-report.ts')
    return flags.json ? io.stdout(`${JSON.stringify(plan, null, 2)}\n`) : io.stdout(planText(plan, io.columns))
  }
  if (flags.out === undefined) throw usageError('sweep: where to? Name a folder for the sweep with --out', { flag: 'out' })
  if (isStorageName(flags.out))
    throw usageError(
      `sweep: --out ${flags.out}: workers meet in a folder by its locks, which storage has not; name a folder on a disk that all of them see`,
      { flag: 'out' },
    )
  const workers = flags.workers ?? (flags.on === 'slurm' ? Math.min(count, 100) : Math.min(count, availableParallelism()))
  const { controlSweep } = await import('../sweep/control.ts')
  const { statusText } = await import('./sweep-report.ts')
  const status = await controlSweep(io, flags.out, plan, {
    on: flags.on,
    workers,
    redis: flags.redis,
    detach: flags.detach === true,
  })
  io.stdout(flags.json ? `${JSON.stringify(status, null, 2)}\n` : statusText(status, io.columns))
}

async function logs(io: Io, path: string, name: string | undefined): Promise<void> {
  const folder = await SweepFolder.open(path)
  const known = (await readdir(join(folder.path, 'logs')).catch(() => [])).filter((file) => file.endsWith('.log')).sort()
  const names = known.map((file) => file.slice(0, -'.log'.length))
  if (name === undefined) return io.stdout(names.map((each) => `${each}\n`).join(''))
  if (!names.includes(name)) {
    const { didYouMean, nearestNames } = await import('../terminal/nearest.ts')
    throw usageError(
      `sweep logs: ${name} has said nothing yet, or is no run${didYouMean(nearestNames(name, names))}; parscale sweep logs ${path} lists those that have`,
      { found: name },
    )
  }
  io.stdout(await readFile(join(folder.path, 'logs', `${name}.log`), 'utf8'))
}
