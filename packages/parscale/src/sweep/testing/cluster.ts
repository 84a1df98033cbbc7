/** Slurm and Redis of a test's own: daemons with their files in a scratch folder, on ports that nobody else has. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { hostname, userInfo } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { freePort } from '../../../../core/src/testing/free-port.ts'

export interface Daemons {
  readonly env: NodeJS.ProcessEnv
  stop(): Promise<void>
}

/**
 * What a command begins with in which Slurm's plug-in finds PMIx. It looks for a `libpmix.so` without a version, which Debian has in
 * libpmix-dev; where that is not installed (root only), its file system gets that link, and nobody else's.
 */
export function withPmix(scratch: string): string[] {
  const folder = readdirSync('/usr/lib')
    .map((name) => `/usr/lib/${name}/pmix2/lib`)
    .find((path) => existsSync(path))
  if (!folder) throw new Error('there is no PMIx (Debian: libpmix2)')
  if (existsSync(`${folder}/libpmix.so`)) return []
  const copy = join(scratch, 'pmix')
  cpSync(folder, copy, { recursive: true, verbatimSymlinks: true })
  symlinkSync('libpmix.so.2', join(copy, 'libpmix.so'))
  return ['unshare', '--mount', 'sh', '-c', `mount --bind ${copy} ${folder} && exec "$@"`, 'sh']
}

/**
 * One node with so many places for tasks, whatever the machine has. A task that is requeued waits for two seconds, not two minutes.
 *
 * @param within what its daemons' commands begin with
 */
export async function startSlurm(scratch: string, places: number, within: readonly string[] = []): Promise<Daemons> {
  const [user, host] = [userInfo().username, hostname()]
  const at = (name: string) => join(scratch, name)
  for (const name of ['state', 'spool']) mkdirSync(at(name), { recursive: true })
  writeFileSync(at('munge.key'), randomBytes(128), { mode: 0o600 })
  const [controller, node] = [await freePort(), await freePort()]
  const conf = at('slurm.conf')
  writeFileSync(
    conf,
    `ClusterName=test
SlurmctldHost=${host}(127.0.0.1)
SlurmUser=${user}
SlurmdUser=${user}
AuthType=auth/munge
AuthInfo=socket=${at('munge.socket')},cred_expire=6
CredType=cred/munge
StateSaveLocation=${at('state')}
SlurmdSpoolDir=${at('spool')}
SlurmctldPidFile=${at('slurmctld.pid')}
SlurmdPidFile=${at('slurmd.pid')}
SlurmctldLogFile=${at('slurmctld.log')}
SlurmdLogFile=${at('slurmd.log')}
SlurmctldPort=${controller}
SlurmdPort=${node}
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=1,sched_min_interval=0,bf_interval=1
ReturnToService=2
KillWait=5
MailProg=/bin/true
NodeName=${host} NodeAddr=127.0.0.1 CPUs=${places} State=UNKNOWN
PartitionName=test Nodes=ALL Default=YES MaxTime=INFINITE State=UP
`,
  )
  const env = { ...process.env, SLURM_CONF: conf, PATH: `${process.env.PATH}:/usr/sbin` }
  const daemons: ChildProcess[] = []
  const start = (command: string, args: readonly string[]) => {
    const [program, ...words] = [...within, command, ...args]
    const child = spawn(program!, words, { env, stdio: 'ignore' })
    daemons.push(child)
  }
  const stop = async () => {
    for (const child of daemons.reverse()) await ended(child)
  }
  try {
    start('munged', [
      ...['--foreground', '--force', `--socket=${at('munge.socket')}`, `--key-file=${at('munge.key')}`],
      ...[`--pid-file=${at('munge.pid')}`, `--log-file=${at('munge.log')}`, `--seed-file=${at('munge.seed')}`],
    ])
    await until('munged', async () => readFileSync(at('munge.pid'), 'utf8') !== '')
    start('slurmctld', ['-D', '-f', conf])
    start('slurmd', ['-D', '-f', conf, '-N', host])
    await until('slurmd', async () =>
      /^idle/.test(
        execFileSync('sinfo', ['--noheader', '--format=%T'], { env, stdio: ['ignore', 'pipe', 'ignore'], encoding: 'utf8' }),
      ),
    )
    return { env, stop }
  } catch (error) {
    await stop()
    throw error
  }
}

/** @param policy of maxmemory */
export async function startRedis(scratch: string, policy = 'noeviction'): Promise<Daemons & { readonly url: string }> {
  const port = await freePort()
  mkdirSync(scratch, { recursive: true })
  const child = spawn(
    'redis-server',
    [
      '--port',
      String(port),
      '--bind',
      '127.0.0.1',
      '--save',
      '',
      '--appendonly',
      'no',
      '--dir',
      scratch,
      '--maxmemory-policy',
      policy,
    ],
    { stdio: 'ignore' },
  )
  const stop = () => ended(child)
  try {
    await until('redis-server', async () =>
      execFileSync('redis-cli', ['-p', String(port), 'ping'], {
        stdio: ['ignore', 'pipe', 'ignore'],
        encoding: 'utf8',
      }).startsWith('PONG'),
    )
    return { env: { ...process.env }, url: `redis://127.0.0.1:${port}`, stop }
  } catch (error) {
    await stop()
    throw error
  }
}

async function until(what: string, isReady: () => Promise<boolean>): Promise<void> {
  let last: unknown
  for (let tries = 0; tries < 3000; tries++) {
    try {
      if (await isReady()) return
    } catch (error) {
      last = error
    }
    await sleep(100)
  }
  throw new Error(`${what} does not answer`, { cause: last })
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const gone = new Promise((resolve) => child.once('close', resolve))
  child.kill('SIGTERM')
  const timer = setTimeout(() => child.kill('SIGKILL'), 5_000)
  await gone
  clearTimeout(timer)
}
