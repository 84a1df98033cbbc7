/** Runs of the command at a real endpoint (moto) behind a network that fails; AWS's own client looks at what is there. */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, beforeEach, expect } from 'vitest'
import { bundledCommand } from '../../testing/bundle.ts'
import type { Finished } from '../../testing/cli.ts'
import { documents, tiny } from '../../testing/train-runs.ts'
import { workersOf } from '../../testing/worker-runs.ts'
import { type FaultyProxy, type Passing, startFaultyProxy } from './faulty-proxy.ts'
import { type MotoServer, secret, startMoto } from './moto-server.ts'

/** The command as one file, which starts faster than from sources. */
let program: string
let folder: string
export const steps = 24

export let moto: MotoServer
export let proxy: FaultyProxy
export let scratch: string
let env: Record<string, string>
const talk: string[] = []

beforeAll(async () => {
  moto = await startMoto()
  proxy = await startFaultyProxy(moto.url)
  scratch = await mkdtemp(join(tmpdir(), 'parscale-s3-run-'))
  env = { ...moto.env, AWS_ENDPOINT_URL: proxy.url, AWS_MAX_ATTEMPTS: '2', PARSCALE_CACHE: join(scratch, 'cache'), HOME: scratch }
  await writeFile(join(scratch, 'text.txt'), documents.join('\n\n'))
  moto.python(`s3.upload_file(args[0], bucket, 'data/text.txt')`, join(scratch, 'text.txt'))
  ;({ program, folder } = await bundledCommand())
})
afterAll(async () => {
  await proxy.close()
  await moto.close()
  for (const path of [scratch, folder]) await rm(path, { recursive: true, force: true })
  // In nothing that was ever said.
  expect(talk.join('')).not.toContain(secret)
})
beforeEach(() => {
  proxy.rule = () => undefined
})

/** @param workers more than one: shared by so many, each with a cache of its own */
export function start(args: readonly string[], more: Readonly<Record<string, string>> = {}, workers = 1) {
  const command = [process.execPath, program, ...args]
  const app = (worker: number) => [
    '-n',
    '1',
    '-x',
    `PARSCALE_CACHE=${more.PARSCALE_CACHE ?? env.PARSCALE_CACHE}-${worker}`,
    ...command,
  ]
  const apps = Array.from({ length: workers }, (_, worker) => [...(worker > 0 ? [':'] : []), ...app(worker)]).flat()
  const [first, ...words] = workers > 1 ? ['mpirun', '--oversubscribe', ...apps] : command
  const child = spawn(first!, words, {
    env: {
      ...process.env,
      PARSCALE_CONFIG: '/dev/null',
      OMPI_ALLOW_RUN_AS_ROOT: '1',
      OMPI_ALLOW_RUN_AS_ROOT_CONFIRM: '1',
      ...env,
      ...more,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let [stdout, stderr] = ['', '']
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text
  })
  const ended = new Promise<Finished>((resolve) =>
    child.on('close', (code) => {
      talk.push(stdout, stderr)
      resolve({ code, stdout, stderr })
    }),
  )
  return { child, ended }
}
export const run = (args: readonly string[], more?: Readonly<Record<string, string>>, workers?: number) =>
  start(args, more, workers).ended

/** Process ids of the workers that run, the first one first. */
export const workers = (): number[] => workersOf(program)

export const recipe = (...more: string[]) => [
  ...['train', 'pretrain', '--data', 's3://bucket/data/text.txt', ...tiny, '--p', '2', '--steps', String(steps), '--seed', '3'],
  ...['--evaluate-every', '12', '--checkpoint-every', '2', ...more],
]

/** AWS's own client reads the manifest and each object that it names. Empty: all is as it says. */
export const readerPython = `
def look(run):
  try:
    m = json.loads(s3.get_object(Bucket=bucket, Key=run + '/parscale-manifest.json')['Body'].read())
  except s3.exceptions.NoSuchKey:
    return None
  wrong = []
  for path, f in m['files'].items():
    try:
      b = s3.get_object(Bucket=bucket, Key=run + '/' + f['key'])['Body'].read()
    except s3.exceptions.NoSuchKey:
      wrong.append(path + ' is missing'); continue
    if len(b) != f['bytes'] or hashlib.sha256(b).hexdigest() != f['sha256']: wrong.append(path + ' differs')
  steps = sorted({p.split('/')[1] for p in m['files'] if p.startswith('checkpoints/')})
  for s in steps:
    for n in ['parameters.safetensors', 'moments.safetensors', 'state.json', 'complete']:
      if 'checkpoints/%s/%s' % (s, n) not in m['files']: wrong.append('%s lacks %s' % (s, n))
  return {'wrong': wrong, 'sequence': m['sequence'], 'steps': steps}
print(json.dumps(look(args[0])))
`
export const look = (name: string) =>
  moto.python<{ wrong: string[]; sequence: number; steps: string[] } | null>(readerPython, name)

export const objects = (prefix: string): string[] =>
  moto.python(
    `print(json.dumps([o['Key'] for o in s3.list_objects_v2(Bucket=bucket, Prefix=args[0]).get('Contents', [])]))`,
    prefix,
  )
export const pending = (): number => moto.python(`print(len(s3.list_multipart_uploads(Bucket=bucket).get('Uploads', [])))`)
export const stored = (key: string): Buffer =>
  Buffer.from(
    moto.python<string>(`print(json.dumps(s3.get_object(Bucket=bucket, Key=args[0])['Body'].read().decode('latin1')))`, key),
    'latin1',
  )
export const isWrite = ({ method, path }: Passing) => method === 'PUT' && !path.endsWith('lock.json')

/** Until steps are being taken. */
export async function untilLogged(child: ChildProcess): Promise<void> {
  let said = ''
  child.stderr!.on('data', (text) => {
    said += text
  })
  while (!/step 0: held-out loss|going on after step/.test(said)) {
    if (child.exitCode !== null) throw new Error(said)
    await sleep(20)
  }
  await sleep(200)
}
