/** Keys and certificates that change under a server that runs. */
import { execFileSync } from 'node:child_process'
import { copyFileSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect, type TLSSocket } from 'node:tls'
import { afterAll, expect, it, vi } from 'vitest'
import { listen } from './listen.ts'
import { renewing } from './renew.ts'
import { killServers, startServer } from './testing/server-process.ts'

const folder = mkdtempSync(join(tmpdir(), 'parscale-renew-'))
const path = (name: string) => join(folder, name)
afterAll(() => {
  killServers()
  rmSync(folder, { recursive: true })
})

/** NAME.cert and NAME.key. */
function makePair(name: string) {
  execFileSync(
    'openssl',
    [
      ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2'],
      ...['-subj', `/CN=${name}`, '-keyout', path(`${name}.key`), '-out', path(`${name}.cert`)],
    ],
    { stdio: 'ignore' },
  )
}

it('shows new connections the certificate that is there now, and keeps the one before while the files do not fit', async () => {
  for (const name of ['first', 'second']) makePair(name)
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
  await vi.waitFor(async () => expect(await shown()).toBe('second'))
  copyFileSync(path('first.cert'), path('mixed'))
  renameSync(path('mixed'), tls.cert)
  await vi.waitFor(() =>
    expect(lines.at(-1)).toBe(`keys and certificate stay as they were: --tls-key: ${tls.key} is not the key of ${tls.cert}`),
  )
  expect(await shown()).toBe('second')
  stop()
  listener.cut()
})

it('reads its keys again on SIGHUP, and keeps them where there are none any more', async () => {
  const file = path('keys')
  writeFileSync(file, 'old-key\n')
  const { child, url, said } = await startServer(['--api-key-file', file])
  const status = async (key: string) => (await fetch(`${url}/v1/models`, { headers: { authorization: `Bearer ${key}` } })).status
  expect([await status('old-key'), await status('new-key')]).toEqual([200, 401])
  writeFileSync(file, 'new-key\n')
  child.kill('SIGHUP')
  await said('read again: keys and certificate')
  expect([await status('old-key'), await status('new-key')]).toEqual([401, 200])
  writeFileSync(file, '')
  child.kill('SIGHUP')
  await said(`stay as they were: ${file}: there is no key in it`)
  expect(await status('new-key')).toBe(200)
})
