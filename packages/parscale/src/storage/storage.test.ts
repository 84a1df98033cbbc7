/** What needs no network: names, plans of parts, waits, keys of a run's files, and what failures are said to be. */
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { below, isStorageName, nameOf, parseStorageName, prefixOf } from './address.ts'
import { isTransient, StorageError, storageError } from './errors.ts'
import { leastPartBytes, planParts, usualPartBytes } from './parts.ts'
import { delayMs, retrying } from './retry.ts'
import { planObjects } from './stored-run.ts'

it('names are buckets and keys', () => {
  expect(parseStorageName('s3://bucket/a/b.txt')).toEqual({ bucket: 'bucket', key: 'a/b.txt' })
  expect(parseStorageName('s3://bucket/a/b/')).toEqual({ bucket: 'bucket', key: 'a/b' })
  expect(parseStorageName('s3://bucket')).toEqual({ bucket: 'bucket', key: '' })
  expect(parseStorageName('s3://my.bucket_1/é +%20/x')).toEqual({ bucket: 'my.bucket_1', key: 'é +%20/x' })
  expect([prefixOf({ bucket: 'b', key: '' }), prefixOf({ bucket: 'b', key: 'a' })]).toEqual(['', 'a/'])
  expect(nameOf(below(parseStorageName('s3://bucket/a'), 'b/c'))).toBe('s3://bucket/a/b/c')
  expect(['s3://b/c', 'S3://b', 's3:x', './s3://b', 'org/s3', 'C:/s3'].map(isStorageName)).toEqual([
    true,
    true,
    true,
    false,
    false,
    false,
  ])
})

it.each([
  's3:/bucket/key',
  's3://',
  's3:///key',
  's3://ab',
  's3://bucket//key',
  's3://bucket/../key',
  's3://bucket/a/./b',
  's3://bucket/a\u001b[2J',
  's3://-bucket/key',
  'S3://bucket/key',
])('refuses %j', (name) => {
  expect(() => parseStorageName(name, '--out')).toThrow(/^--out: expected s3:\/\/BUCKET\/KEY/)
})

it('never repeats what looks like credentials', () => {
  for (const name of ['s3://KEY:hidden@bucket/key', 's3://hidden@bucket/key', 's3://KEY:hidden/bucket/key'])
    try {
      parseStorageName(name)
      expect.unreachable()
    } catch (error) {
      expect(JSON.stringify([(error as Error).message, (error as StorageError).facts])).not.toContain('hidden')
      expect((error as Error).message).toContain('without credentials')
    }
})

it('parts cover a file once, within the limits of S3', () => {
  const file = fc.oneof(fc.nat(100 * usualPartBytes), fc.nat(5 * 2 ** 40))
  fc.assert(
    fc.property(file, fc.integer({ min: leastPartBytes, max: 4 * usualPartBytes }), (bytes, partBytes) => {
      const parts = planParts(bytes, partBytes)
      if (bytes <= partBytes) {
        expect(parts).toEqual([])
        return
      }
      expect(parts.length).toBeLessThanOrEqual(10_000)
      let at = 0
      // One comparison for all: there may be ten thousand.
      const wrong = parts.filter((part, i) => {
        const follows = part.number === i + 1 && part.start === at
        at += part.bytes
        return !(follows && part.bytes >= (i === parts.length - 1 ? 1 : leastPartBytes) && part.bytes <= 5 * 2 ** 30)
      })
      expect(wrong).toEqual([])
      expect(at).toBe(bytes)
    }),
  )
})

it('waits are between nothing and a bound that doubles', () => {
  const policy = { firstDelayMs: 500, mostDelayMs: 20_000 }
  expect([1, 2, 3, 6, 7, 50].map((failures) => delayMs(failures, policy, () => 1))).toEqual([
    500, 1000, 2000, 16_000, 20_000, 20_000,
  ])
  expect(delayMs(4, policy, () => 0)).toBe(0)
  const many = Array.from({ length: 200 }, () => delayMs(3, policy))
  expect(new Set(many).size).toBeGreaterThan(150)
})

it('tries again what passes, as long as it makes progress, and nothing else', async () => {
  const policy = { attempts: 3, firstDelayMs: 1, mostDelayMs: 2, stallMs: 1000 }
  const passing = () => new StorageError('busy', 'SlowDown', true, 503)
  let calls = 0
  const failing = async () => {
    calls++
    throw passing()
  }
  await expect(retrying(policy, undefined, failing)).rejects.toThrow('busy')
  expect(calls).toBe(3)
  calls = 0
  await expect(retrying(policy, undefined, failing, () => calls < 10)).rejects.toThrow('busy')
  expect(calls).toBe(11)
  calls = 0
  const refused = async () => {
    calls++
    throw new StorageError('no', 'AccessDenied', false, 403)
  }
  await expect(retrying(policy, undefined, refused)).rejects.toThrow('no')
  expect(calls).toBe(1)
  const stop = new AbortController()
  stop.abort(new Error('stopped'))
  await expect(retrying(policy, stop.signal, failing)).rejects.toThrow('stopped')
})

it('never writes over an object that the last manifest names, and never twice to one key', () => {
  const paths = ['config.json', 'metrics.jsonl', 'checkpoints/step-00000001/complete', 'model/config.json']
  const round = fc.dictionary(fc.constantFrom(...paths), fc.nat(3))
  fc.assert(
    fc.property(fc.array(round, { minLength: 1, maxLength: 8 }), (rounds) => {
      let before: Parameters<typeof planObjects>[1] = {}
      for (const contents of rounds) {
        const files = Object.entries(contents).map(([path, content]) => ({
          path,
          bytes: content,
          sha256: `${content}`.repeat(64),
        }))
        const planned = planObjects(files, before)
        const named = new Map(Object.values(before).map(({ key, sha256 }) => [key, sha256]))
        for (const { key, sha256 } of planned) if (named.has(key)) expect(named.get(key)).toBe(sha256)
        expect(new Set(planned.map(({ key }) => key)).size).toBe(planned.length)
        expect(planned.map(({ path, sha256 }) => [path, sha256])).toEqual(files.map(({ path, sha256 }) => [path, sha256]))
        before = Object.fromEntries(planned.map(({ path, ...rest }) => [path, rest]))
      }
    }),
  )
})

const asked = { name: 's3://bucket/key', bucket: 'bucket', host: 'storage.example.org', doing: 'write' } as const
const sdk = (name: string, status?: number, headers: Record<string, string> = {}) =>
  Object.assign(new Error(`text of ${name} with AKIASECRET`), {
    name,
    $metadata: { httpStatusCode: status },
    $response: { headers },
  })

it.each([
  [
    sdk('NoSuchBucket', 404),
    /answered 404 \(NoSuchBucket\); there is no bucket bucket; check its name, and AWS_ENDPOINT_URL/,
    false,
  ],
  [sdk('AccessDenied', 403), /403 \(AccessDenied\); the credentials may not write it; check the policies/, false],
  [
    sdk('PermanentRedirect', 301, { 'x-amz-bucket-region': 'eu-west-1' }),
    /301 .*lies in the region eu-west-1; set AWS_REGION=eu-west-1/,
    false,
  ],
  [sdk('PermanentRedirect', 301), /in another region or behind another endpoint; set AWS_REGION/, false],
  [sdk('AuthorizationHeaderMalformed', 400), /in another region/, false],
  [sdk('ExpiredToken', 400), /400 \(ExpiredToken\); the session token has expired; get new credentials/, false],
  [
    sdk('RequestTimeTooSkewed', 403, { date: new Date(Date.now() - 3_600_000).toUTCString() }),
    /clock is wrong: it is 1:00:0\d ahead of the server's; set it/,
    false,
  ],
  [sdk('InvalidAccessKeyId', 403), /does not know the credentials; check AWS_ACCESS_KEY_ID/, false],
  [sdk('SignatureDoesNotMatch', 403), /does not know the credentials/, false],
  [sdk('SlowDown', 503), /503 \(SlowDown\); it is too busy; try again later/, true],
  [sdk('InternalError', 500), /500 \(InternalError\); try again later/, true],
  [sdk('BadDigest', 400), /what arrived is not what was sent/, true],
  [
    sdk('CredentialsProviderError'),
    /there are no credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE/,
    false,
  ],
  [
    Object.assign(new Error('connect'), { code: 'ECONNREFUSED' }),
    /no connection to storage.example.org \(ECONNREFUSED\); check the network and AWS_ENDPOINT_URL/,
    true,
  ],
  [Object.assign(new Error('x'), { name: 'TimeoutError' }), /no connection to storage.example.org \(TimeoutError\)/, true],
  [
    Object.assign(new Error('x'), { code: 'SELF_SIGNED_CERT_IN_CHAIN' }),
    /certificate of storage.example.org is not trusted/,
    false,
  ],
  [sdk('QuotaExceeded', 507), /no room/, true],
  [sdk('<b>\u001b[2J', 418), /answered 418 \(unknown code\); is AWS_ENDPOINT_URL an S3 endpoint/, false],
] as const)('says what %s means', (error, text, passes) => {
  const said = storageError(error, asked)
  expect(said.message).toMatch(/^s3:\/\/bucket\/key: /)
  expect(said.message).toMatch(text)
  expect([said.kind, isTransient(said)]).toEqual(['hub', passes])
  expect(JSON.stringify([said.message, said.facts, said.cause])).not.toContain('AKIASECRET')
})
