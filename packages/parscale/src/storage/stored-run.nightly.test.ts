/** Runs at a real endpoint (moto): seen while they are stored, stopped, exported, and refused in all the ways that S3 refuses. */
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, it } from 'vitest'
import { bucketName, secret } from './testing/moto-server.ts'
import {
  isWrite,
  look,
  moto,
  objects,
  proxy,
  readerPython,
  recipe,
  run,
  scratch,
  start,
  stored,
  untilLogged,
} from './testing/stored-runs.ts'

it('whoever looks while a run is stored finds whole checkpoints only', async () => {
  proxy.rule = (asked) => (isWrite(asked) ? { kind: 'slow', bytes: 65_536, everyMs: 60 } : undefined)
  const { ended } = start(recipe('--out', 's3://bucket/watched', '--keep', '1'))
  let done = false
  void ended.then(() => {
    done = true
  })
  const program = `${readerPython.replace(/print\(.*\n$/, '')}\nimport time\nfound = []\nfor i in range(int(args[1])):\n  found.append(look(args[0]))\nprint(json.dumps(found))`
  const sequences = new Set<number>()
  while (!done) {
    await sleep(50)
    for (const each of await moto.pythonBeside<({ wrong: string[]; sequence: number } | null)[]>(program, 'watched', '3')) {
      // An object of an older manifest may be gone by the time it is read: what readers of ours do then is to read the manifest anew.
      if (!each) continue
      expect(each.wrong.filter((text) => !text.endsWith('is missing'))).toEqual([])
      sequences.add(each.sequence)
    }
  }
  const { code, stderr } = await ended
  expect(code, stderr).toBe(0)
  expect(look('watched')!.wrong).toEqual([])
  expect(sequences.size).toBeGreaterThan(1)
})

it('Ctrl-C stores the checkpoint that it writes; the run goes on from storage alone', async () => {
  const { child, ended } = start(recipe('--out', 's3://bucket/stopped', '--checkpoint-every', '0', '--steps', '3000'))
  await untilLogged(child)
  child.kill('SIGINT')
  const { code, stderr } = await ended
  expect(code, stderr).toBe(130)
  expect(stderr).toContain('go on with: parscale train --resume s3://bucket/stopped')
  const { steps, wrong } = look('stopped')!
  expect([steps.length, wrong]).toEqual([1, []])
  expect(objects('stopped/')).not.toContain('stopped/parscale-lock.json')
  const other = start(['train', '--resume', 's3://bucket/stopped'], { PARSCALE_CACHE: join(scratch, 'elsewhere') })
  let said = ''
  other.child.stderr!.on('data', (text) => {
    said += text
  })
  while (!/going on after step/.test(said) && other.child.exitCode === null) await sleep(50)
  other.child.kill('SIGINT')
  expect((await other.ended).code).toBe(130)
  expect(said).toContain(`going on after step ${Number(steps[0]!.slice(5))}`)
})

it('export, quantize and generate take and give names of storage', async () => {
  for (const out of ['s3://bucket/run', join(scratch, 'whole')]) {
    const { code, stderr } = await run(recipe('--out', out))
    expect(code, stderr).toBe(0)
  }
  const exported = await run(['export', 's3://bucket/run', '--out', 's3://bucket/exported'])
  expect(exported.code, exported.stderr).toBe(0)
  expect(exported.stdout).toBe('s3://bucket/exported\n')
  const local = await run(['export', join(scratch, 'whole'), '--out', join(scratch, 'exported')])
  expect(local.code).toBe(0)
  expect(stored('exported/model.safetensors').equals(await readFile(join(scratch, 'exported/model.safetensors')))).toBe(true)
  const quantised = await run(['quantize', 's3://bucket/exported', '--bits', '8', '--out', 's3://bucket/q8'])
  expect(quantised.code, quantised.stderr).toBe(0)
  const texts = []
  for (const model of ['s3://bucket/exported', join(scratch, 'exported'), 's3://bucket/run/model/'])
    texts.push((await run(['generate', model, '--prompt', 'Chapter', '--max-tokens', '4', '--seed', '1'])).stdout)
  expect(texts[0]).not.toBe('')
  expect(new Set(texts).size).toBe(1)
  expect((await run(['generate', 's3://bucket/q8', '--prompt', 'Chapter', '--max-tokens', '4'])).code).toBe(0)
  // A whole run is no model.
  const wrong = await run(['generate', 's3://bucket/run', '--prompt', 'x'])
  expect([wrong.code, wrong.stderr]).toEqual([2, expect.stringContaining('is a run; name its model, s3://bucket/run/model')])
})

it('data are an object, a folder or a pattern, and are fetched once', async () => {
  moto.python(
    `for n in ['a.txt', 'b.txt', 'c.md']:\n  s3.put_object(Bucket=bucket, Key='many/' + n, Body=open(args[0],'rb').read().replace(b'Chapter', b'Part' if n == 'b.txt' else b'Chapter'))`,
    join(scratch, 'text.txt'),
  )
  const counts = []
  for (const data of ['s3://bucket/many/', 's3://bucket/many/*.txt', 's3://bucket/many/a.txt', 's3://bucket/many/c.md']) {
    const { code, stderr } = await run([
      ...recipe('--dry-run').map((word) => (word === 's3://bucket/data/text.txt' ? data : word)),
    ])
    expect(code, stderr).toBe(0)
    counts.push(/ tokens in (\d+) documents/.exec(stderr)?.[1])
  }
  expect(counts[0]).toBe(counts[1])
  expect(counts[2]).toBe(counts[3])
  expect(Number(counts[0])).toBeGreaterThan(Number(counts[2]))
  const before = proxy.asked.length
  const again = recipe('--dry-run').map((word) => (word === 's3://bucket/data/text.txt' ? 's3://bucket/many/c.md' : word))
  expect((await run(again)).code).toBe(0)
  expect(proxy.asked.slice(before).map(({ method }) => method)).not.toContain('GET')
})

it.each([
  ['s3://nowhere/run', {}, undefined, /s3:\/\/nowhere\/run.*404 \(NoSuchBucket\); there is no bucket nowhere; check its name/],
  ['s3://bucket/x', {}, { kind: 'status', status: 403, code: 'AccessDenied' }, /403 \(AccessDenied\); the credentials may not/],
  [
    's3://bucket/x',
    {},
    { kind: 'status', status: 301, code: 'PermanentRedirect' },
    /301 \(PermanentRedirect\); the bucket lies in another region or behind another endpoint; set AWS_REGION/,
  ],
  [
    's3://bucket/x',
    {},
    { kind: 'status', status: 400, code: 'ExpiredToken' },
    /the session token has expired; get new credentials/,
  ],
  [
    's3://bucket/x',
    {},
    { kind: 'status', status: 403, code: 'RequestTimeTooSkewed', headers: { date: 'Fri, 01 Jan 2027 00:00:00 GMT' } },
    /\(RequestTimeTooSkewed\); this machine's clock is wrong/,
  ],
  [
    's3://bucket/x',
    {},
    { kind: 'status', status: 503, code: 'SlowDown' },
    /503 \(SlowDown, 2 times\); it is too busy; try again later/,
  ],
  ['s3://bucket/x', {}, { kind: 'html' }, /127.0.0.1:\d+ sent what is no answer of S3; is AWS_ENDPOINT_URL an S3 endpoint/],
  [
    's3://bucket/x',
    { AWS_ENDPOINT_URL: 'http://127.0.0.1:9' },
    undefined,
    /no connection to 127.0.0.1:9 \(ECONNREFUSED\); check the network/,
  ],
  ['s3://bucket/x', { AWS_ENDPOINT_URL: `http://user:${secret}@127.0.0.1:9` }, undefined, /AWS_ENDPOINT_URL: expected a URL/],
  [
    's3://bucket/x',
    { AWS_ACCESS_KEY_ID: '', AWS_SECRET_ACCESS_KEY: '', AWS_PROFILE: '' },
    undefined,
    /there are no credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE/,
  ],
] as const)('%s with %j and %j says what to do', async (name, more, fault, text) => {
  proxy.rule = () => fault
  for (const args of [
    ['generate', name, '--prompt', 'x'],
    recipe('--out', name).map((word) => (/data\/text/.test(word) ? join(scratch, 'text.txt') : word)),
  ]) {
    const { code, stdout, stderr } = await run(args, more)
    expect([2, 5], stderr).toContain(code)
    expect(stderr).toMatch(text)
    expect(stdout + stderr).not.toContain(secret)
  }
  proxy.rule = () => undefined
})

it('a profile of the shared files gives credentials, region and endpoint', async () => {
  const [config, credentials] = [join(scratch, 'config'), join(scratch, 'credentials')]
  await writeFile(config, `[profile lab]\nregion = eu-central-1\nendpoint_url = ${proxy.url}\n`)
  await writeFile(
    credentials,
    `[lab]\naws_access_key_id = AKIALAB\naws_secret_access_key = ${secret}\naws_session_token = token-of-lab\n`,
  )
  const before = proxy.asked.length
  const { code, stderr } = await run(recipe('--dry-run'), {
    ...{ AWS_ACCESS_KEY_ID: '', AWS_SECRET_ACCESS_KEY: '', AWS_REGION: '', AWS_ENDPOINT_URL: '' },
    ...{ AWS_CONFIG_FILE: config, AWS_SHARED_CREDENTIALS_FILE: credentials, AWS_PROFILE: 'lab' },
  })
  expect(code, stderr).toBe(0)
  const { headers, path } = proxy.asked[before]!
  expect(headers.authorization).toMatch(/Credential=AKIALAB\/\d+\/eu-central-1\/s3\//)
  expect(headers['x-amz-security-token']).toBe('token-of-lab')
  expect(path).toMatch(new RegExp(`^/${bucketName}/`))
})
