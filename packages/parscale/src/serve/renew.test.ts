/** Keys and certificates that change under a server that runs. */
import { copyFileSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import * as http from 'node:http'
import * as https from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect, type TLSSocket } from 'node:tls'
import { afterAll, expect, it } from 'vitest'
import { listen } from './listen.ts'
import { renewing } from './renew.ts'
import { selfSigned } from './testing/certificates.ts'
import { killServers, startServer } from './testing/server-process.ts'

const folder = mkdtempSync(join(tmpdir(), 'parscale-renew-'))
const path = (name: string) => join(folder, name)
afterAll(() => {
  killServers()
  rmSync(folder, { recursive: true })
})

it('shows new connections the certificate that is there now, and keeps the one before while the files do not fit', async () => {
  for (const name of ['first', 'second']) selfSigned(folder, name)
  const tls = { cert: path('cert'), key: path('key') }
  // As Kubernetes mounts a secret: what is changed is a link.
  const point = (name: string) => {
    for (const part of ['cert', 'key']) {
      symlinkSync(path(`${name}.${part}`), path('link'))
      renameSync(path('link'), path(part))
    }
  }
  point('first')
  const listener = await listen({ fetch: () => new Response() }, { host: '127.0.0.1', port: 0, tls })
  const lines: string[] = []
  const stop = renewing({
    what: 'certificate',
    files: [tls.cert, tls.key],
    read: () => listener.renewTls(),
    say: (line) => void lines.push(line),
    everyMs: 20,
  })
  const shown = () =>
    new Promise<unknown>((resolve, reject) => {
      const socket: TLSSocket = connect(Number(new URL(listener.url).port), '127.0.0.1', { rejectUnauthorized: false }, () => {
        resolve(socket.getPeerCertificate().subject.CN)
        socket.destroy()
      }).on('error', reject)
    })
  expect(await shown()).toBe('first')
  point('second')
  await expect.poll(shown).toBe('second')
  copyFileSync(path('first.cert'), path('mixed'))
  renameSync(path('mixed'), tls.cert)
  await expect
    .poll(() => lines.at(-1))
    .toBe(`not read again, and as before: certificate: --tls-key: ${tls.key} is not the key of ${tls.cert}`)
  expect(await shown()).toBe('second')
  stop()
  listener.cut()
})

const statusWith = (url: string, key: string) =>
  new Promise<number | undefined>((resolve, reject) => {
    const { request } = url.startsWith('https') ? https : http
    const options = { headers: { authorization: `Bearer ${key}` }, rejectUnauthorized: false }
    request(`${url}/v1/models`, options, (response) => resolve(response.resume().statusCode))
      .on('error', reject)
      .end()
  })

it('takes new keys although the certificate is broken, and a new certificate although the keys are', async () => {
  const { cert, key } = selfSigned(folder, 'served')
  const file = path('keys-beside')
  writeFileSync(file, 'old-key\n')
  const { child, url, said } = await startServer(['--api-key-file', file, '--tls-cert', cert, '--tls-key', key])
  expect(await statusWith(url, 'old-key')).toBe(200)
  writeFileSync(file, 'new-key\n')
  writeFileSync(cert, 'broken')
  child.kill('SIGHUP')
  await said(`not read again, and as before: certificate: --tls-cert: ${cert} is no certificate in PEM`)
  await said('read again: keys')
  expect([await statusWith(url, 'old-key'), await statusWith(url, 'new-key')]).toEqual([401, 200])
  selfSigned(folder, 'served')
  writeFileSync(file, '')
  child.kill('SIGHUP')
  await said('not read again, and as before: keys')
  await said('read again: certificate')
})

it('reads its keys again on SIGHUP, and keeps them where there are none any more', async () => {
  const file = path('keys')
  writeFileSync(file, 'old-key\n')
  const { child, url, said } = await startServer(['--api-key-file', file])
  const status = (key: string) => statusWith(url, key)
  expect([await status('old-key'), await status('new-key')]).toEqual([200, 401])
  writeFileSync(file, 'new-key\n')
  child.kill('SIGHUP')
  await said('read again: keys')
  expect([await status('old-key'), await status('new-key')]).toEqual([401, 200])
  writeFileSync(file, '')
  child.kill('SIGHUP')
  await said(`not read again, and as before: keys: ${file}: there is no key in it`)
  expect(await status('new-key')).toBe(200)
})
