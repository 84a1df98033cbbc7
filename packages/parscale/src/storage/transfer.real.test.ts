/** Files to and from a real endpoint (moto) through a network that fails; AWS's own client says what is there. */
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { createRandom, isParscaleError } from '@parscale/core/internal'
import { afterAll, afterEach, beforeAll, beforeEach, expect, it, vi } from 'vitest'
import { parscale } from '../testing/cli.ts'
import { Bucket } from './client.ts'
import { downloadObject, partPath } from './download.ts'
import { leastPartBytes } from './parts.ts'
import { type FaultyProxy, type Passing, startFaultyProxy } from './testing/faulty-proxy.ts'
import { bucketName, type MotoServer, secret, startMoto } from './testing/moto-server.ts'
import { uploadFile } from './upload.ts'

const random = createRandom(21)
const retry = { attempts: 8, firstDelayMs: 5, mostDelayMs: 50, stallMs: 1500 }
const partBytes = leastPartBytes

let moto: MotoServer
let proxy: FaultyProxy
let scratch: string
let bucket: Bucket
let content: Buffer
let file: string

const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')
const isPart = ({ method, query }: Passing) => method === 'PUT' && query.has('partNumber')
const isGet = ({ method, query }: Passing) => method === 'GET' && query.get('x-id') === 'GetObject'

/** What AWS's own client reads. */
const stored = (key: string): string | null =>
  moto.python(
    `try:\n  print(json.dumps(hashlib.sha256(s3.get_object(Bucket=bucket, Key=args[0])['Body'].read()).hexdigest()))\nexcept s3.exceptions.NoSuchKey:\n  print('null')`,
    key,
  )
const pending = (prefix: string): number =>
  moto.python(`print(len(s3.list_multipart_uploads(Bucket=bucket, Prefix=args[0]).get('Uploads', [])))`, prefix)

beforeAll(async () => {
  moto = await startMoto()
  scratch = await mkdtemp(join(tmpdir(), 'parscale-s3-'))
  content = Buffer.from(Uint32Array.from({ length: (3.3 * partBytes) / 4 }, () => random.below(2 ** 32)).buffer)
  file = join(scratch, 'file')
  await writeFile(file, content)
})
afterAll(async () => {
  await moto.close()
  await rm(scratch, { recursive: true, force: true })
})
beforeEach(async () => {
  proxy = await startFaultyProxy(moto.url)
  for (const [name, value] of Object.entries({ ...moto.env, AWS_ENDPOINT_URL: proxy.url })) vi.stubEnv(name, value)
  bucket = await Bucket.open(bucketName)
})
afterEach(async () => {
  vi.unstubAllEnvs()
  bucket.close()
  await proxy.close()
})

const upload = (key: string, signal?: AbortSignal) =>
  uploadFile(bucket, { path: file, key, bytes: content.length, sha256: sha256(content) }, { retry, partBytes, signal })

it('an upload through cuts, refusals, lost answers and flipped bits is the file, and leaves no parts', async () => {
  const faults = [
    { kind: 'cut-request', afterBytes: 200_000 },
    { kind: 'status', status: 503, code: 'SlowDown' },
    { kind: 'corrupt-request' },
    { kind: 'status', status: 500, code: 'InternalError' },
    { kind: 'lose-answer' },
    { kind: 'status', status: 400, code: 'BadDigest' },
    { kind: 'status', status: 502 },
  ] as const
  for (let round = 0; round < 2; round++) {
    let left = 0
    proxy.rule = (asked) => {
      // Every other request at most, so that tries do not run out by chance.
      left++
      if (isPart(asked)) return left % 2 ? faults[random.below(faults.length)] : undefined
      return random.below(3) === 0 ? { kind: 'status', status: 503, code: 'SlowDown' } : undefined
    }
    await upload(`faults/${round}`)
    expect(stored(`faults/${round}`)).toBe(sha256(content))
  }
  expect(pending('faults/')).toBe(0)
})

it('keys of any spelling are the same for us and for AWS’s own client', async () => {
  const small = join(scratch, 'small')
  await writeFile(small, 'text')
  for (const key of ['a b+c/d%20e.txt', 'größe/サンプル~(1)!*.txt', "it's/a=b&c;d,e@f:$.txt", '#?x']) {
    await uploadFile(bucket, { path: small, key, bytes: 4, sha256: sha256(Buffer.from('text')) })
    expect(stored(key)).toBe(sha256(Buffer.from('text')))
    expect(await bucket.find(key)).toMatchObject({ key, bytes: 4 })
    const listed: string[] = []
    for await (const object of bucket.list(key)) listed.push(object.key)
    expect(listed).toEqual([key])
  }
})

it('what never arrives as it was sent is refused, and nothing is seen', async () => {
  let sent = 0
  // Another bit each time, or it would look like an endpoint whose ETags are no MD5.
  proxy.rule = (asked) =>
    isPart(asked) && sent++ >= 0 ? { kind: 'status', status: 400, code: 'XAmzContentSHA256Mismatch' } : undefined
  await expect(upload('never')).rejects.toThrow(
    /never: .* answered 400 \(XAmzContentSHA256Mismatch\); what arrived is not what was sent/,
  )
  expect(stored('never')).toBeNull()
})

it('an upload whose parts were aborted by somebody begins anew', async () => {
  let parts = 0
  proxy.rule = (asked) => (isPart(asked) && ++parts === 2 ? { kind: 'status', status: 404, code: 'NoSuchUpload' } : undefined)
  await upload('anew')
  expect(stored('anew')).toBe(sha256(content))
})

it('a download through cuts, refusals, ignored ranges and flipped bits is the object', async () => {
  moto.python(`s3.put_object(Bucket=bucket, Key='down', Body=open(args[0],'rb').read())`, file)
  const object = await bucket.find('down')
  for (let round = 0; round < 3; round++) {
    let count = 0
    proxy.rule = (asked) => {
      if (!isGet(asked) || count++ > 7) return undefined
      const faults = [
        { kind: 'cut-answer', afterBytes: random.below(content.length) },
        { kind: 'status', status: 503, code: 'SlowDown' },
        { kind: 'ignore-range' },
        { kind: 'cut-answer', afterBytes: 0 },
      ] as const
      return count === 5 ? { kind: 'corrupt-answer' } : faults[random.below(faults.length)]
    }
    const path = join(scratch, `down-${round}`)
    await downloadObject(bucket, object!, path, { retry })
    expect(sha256(await readFile(path))).toBe(sha256(content))
    expect(existsSync(partPath(path))).toBe(false)
  }
})

it('objects that others stored in parts, whose ETag is no MD5, are taken by their size', async () => {
  moto.python(
    `from boto3.s3.transfer import TransferConfig\ns3.upload_file(args[0], bucket, 'parts', Config=TransferConfig(multipart_threshold=5*2**20, multipart_chunksize=5*2**20))`,
    file,
  )
  const object = await bucket.find('parts')
  expect(object!.etag).toMatch(/-4"$/)
  await downloadObject(bucket, object!, join(scratch, 'parts'), { retry })
  expect(sha256(await readFile(join(scratch, 'parts')))).toBe(sha256(content))
})

it('bytes that are wrong again and again are refused, and nothing takes the name', async () => {
  await upload('damaged')
  const object = await bucket.find('damaged')
  proxy.rule = (asked) => (isGet(asked) ? { kind: 'corrupt-answer' } : undefined)
  const path = join(scratch, 'damaged')
  const error = await downloadObject(bucket, object!, path, { retry }).catch((error) => error)
  expect(isParscaleError(error) && error.kind).toBe('checkpoint')
  expect(error.message).toMatch(/^s3:\/\/bucket\/damaged: its bytes are not those that were stored there/)
  expect([existsSync(path), existsSync(partPath(path))]).toEqual([false, false])
})

it('a silent server is left; what has come is gone on with', async () => {
  await upload('silent')
  const object = await bucket.find('silent')
  const path = join(scratch, 'silent')
  proxy.rule = (asked) => (isGet(asked) ? { kind: 'cut-answer', afterBytes: 6_000_000 } : undefined)
  const few = { ...retry, attempts: 1 }
  await expect(downloadObject(bucket, object!, path, { retry: few })).rejects.toThrow(/run again to resume/)
  proxy.rule = (asked) => (isGet(asked) ? { kind: 'silent' } : undefined)
  await expect(downloadObject(bucket, object!, path, { retry: few })).rejects.toThrow(/was silent for 1.5 s; run again to resume/)
  proxy.rule = () => undefined
  const before = proxy.asked.length
  await downloadObject(bucket, object!, path, { retry })
  const ranges = proxy.asked
    .slice(before)
    .filter(isGet)
    .map(({ headers }) => headers.range)
  expect(ranges).toHaveLength(1)
  expect(Number(/^bytes=(\d+)-$/.exec(String(ranges[0]))![1])).toBeGreaterThan(1_000_000)
  expect(sha256(await readFile(path))).toBe(sha256(content))
})

it('an object that is replaced while it comes is not mixed with the other', async () => {
  await upload('replaced')
  const object = await bucket.find('replaced')
  const path = join(scratch, 'replaced')
  proxy.rule = (asked) => (isGet(asked) ? { kind: 'cut-answer', afterBytes: 6_000_000 } : undefined)
  await expect(downloadObject(bucket, object!, path, { retry: { ...retry, attempts: 1 } })).rejects.toThrow()
  proxy.rule = () => undefined
  moto.python(`s3.put_object(Bucket=bucket, Key='replaced', Body=b'x' * int(args[0]))`, String(content.length))
  await expect(downloadObject(bucket, object!, path, { retry })).rejects.toThrow(/412 \(PreconditionFailed\)/)
  expect(existsSync(path)).toBe(false)
})

it('killed in the middle of an upload, a command leaves nothing to be seen, and goes on where it was', async () => {
  // One file of 20 MB: three parts.
  const model = join(scratch, 'model')
  const shape = [
    '--hidden-size',
    '256',
    '--intermediate-size',
    '512',
    '--layers',
    '8',
    '--heads',
    '4',
    '--kv-heads',
    '4',
    '--head-dim',
    '64',
  ]
  const env = { ...moto.env, AWS_ENDPOINT_URL: proxy.url, PARSCALE_CACHE: join(scratch, 'cache') }
  await writeFile(join(scratch, 'text.txt'), Array.from({ length: 300 }, (_, i) => `words about ${i} words`).join('\n\n'))
  const trained = await parscale(
    [
      ...['train', 'pretrain', '--data', join(scratch, 'text.txt'), '--separator', '\n\n', '--out', model, '--p', '1'],
      ...[
        ...shape,
        '--vocab-size',
        '300',
        '--steps',
        '1',
        '--batch-size',
        '1',
        '--sequence-length',
        '16',
        '--set',
        'sample.tokens=0',
      ],
    ],
    { env },
  )
  expect(trained.code, trained.stderr).toBe(0)
  const args = ['convert', join(model, 'model'), 's3://bucket/converted']
  let parts = 0
  proxy.rule = (asked) => (isPart(asked) && ++parts > 1 ? { kind: 'slow', bytes: 65_536, everyMs: 200 } : undefined)
  const { child, ended } = start(args, env)
  const seen = (): string[] =>
    moto.python(
      `print(json.dumps([str(p['PartNumber']) for u in s3.list_multipart_uploads(Bucket=bucket, Prefix='converted/').get('Uploads', []) for p in s3.list_parts(Bucket=bucket, Key=u['Key'], UploadId=u['UploadId']).get('Parts', [])]))`,
    )
  while (parts < 2 || seen().length < 1) await sleep(100)
  child.kill('SIGKILL')
  await ended
  const there = seen()
  expect(there.length).toBeGreaterThan(0)
  expect(stored('converted/parscale-manifest.json')).toBeNull()
  expect(stored('converted/model.safetensors')).toBeNull()
  const refused = await parscale(['generate', 's3://bucket/converted', '--prompt', 'x', '--max-tokens', '1'], { env })
  expect([refused.code, refused.stderr]).toEqual([2, expect.stringContaining('was stopped before all was there')])

  proxy.rule = () => undefined
  const before = proxy.asked.length
  const again = await parscale(args, { env })
  expect(again.code, again.stderr).toBe(0)
  const sent = proxy.asked.slice(before).filter(isPart)
  expect(sent.length).toBeGreaterThan(0)
  for (const { query } of sent) expect(there).not.toContain(query.get('partNumber'))
  expect(pending('converted/')).toBe(0)
  expect(stored('converted/model.safetensors')).toBe(sha256(await readFile(join(model, 'model', 'model.safetensors'))))
  expect(stored('converted/parscale-lock.json')).toBeNull()
  const text = await parscale(['generate', 's3://bucket/converted', '--prompt', 'words', '--max-tokens', '2', '--seed', '1'], {
    env,
  })
  expect(text.code, text.stderr).toBe(0)
  const local = await parscale(['generate', join(model, 'model'), '--prompt', 'words', '--max-tokens', '2', '--seed', '1'], {
    env,
  })
  expect(text.stdout).toBe(local.stdout)
  const taken = await parscale(args, { env })
  expect([taken.code, taken.stderr]).toEqual([2, expect.stringContaining('s3://bucket/converted is there already')])
  for (const { stdout, stderr } of [trained, refused, again, text, taken]) expect(stdout + stderr).not.toContain(secret)
})

function start(args: readonly string[], env: Readonly<Record<string, string>>) {
  const main = new URL('../testing/main.ts', import.meta.url).pathname
  const child = spawn(process.execPath, ['--conditions=source', '--import', 'tsx', main, ...args], {
    env: { ...process.env, PARSCALE_CONFIG: '/dev/null', ...env },
    stdio: 'ignore',
  })
  return { child, ended: new Promise((resolve) => child.on('close', resolve)) }
}
