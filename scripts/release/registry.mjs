/**
 * A registry for packages that are not published yet: gives those tarballs, and passes all else on to the registry that npm uses.
 * It listens on this machine only, and knows no more of the protocol than installing needs.
 */

import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { basename } from 'node:path'
import { Readable } from 'node:stream'

const upstream = (process.env.npm_config_registry ?? 'https://registry.npmjs.org/').replace(/\/?$/, '/')

/** What a registry says of a package with one version. */
function describe(tarball, base) {
  const bytes = readFileSync(tarball)
  const { stdout } = spawnSync('tar', ['xzfO', tarball, 'package/package.json'], { encoding: 'utf8' })
  const manifest = JSON.parse(stdout)
  const dist = {
    tarball: `${base}-/ours/${basename(tarball)}`,
    integrity: `sha512-${createHash('sha512').update(bytes).digest('base64')}`,
    shasum: createHash('sha1').update(bytes).digest('hex'),
  }
  const { name, version, scripts } = manifest
  const old = '2020-01-01T00:00:00.000Z' // some managers leave out what is younger than a day
  return {
    name,
    'dist-tags': { latest: version },
    versions: { [version]: { ...manifest, ...(scripts?.install && { hasInstallScript: true }), dist } },
    time: { created: old, modified: old, [version]: old },
  }
}

/** @returns its address, and what ends it */
export async function startRegistry(tarballs) {
  const kept = new Map()
  const server = createServer(async (request, response) => {
    try {
      const path = decodeURIComponent(request.url.slice(1).split('?')[0])
      const tarball = path.startsWith('-/ours/') && tarballs.find((each) => basename(each) === basename(path))
      if (tarball) return response.end(readFileSync(tarball))
      if (ours.has(path)) return response.setHeader('content-type', 'application/json').end(JSON.stringify(ours.get(path)))
      // Advisories and the like are asked for with other methods.
      if (request.method !== 'GET' || path.startsWith('-/')) return response.writeHead(404).end('{}')
      const { accept = '*/*' } = request.headers
      const key = `${accept} ${request.url}`
      if (!kept.has(key)) {
        const found = await fetch(upstream + request.url.slice(1), { headers: { accept } })
        const type = found.headers.get('content-type') ?? 'application/octet-stream'
        if (!type.includes('json')) {
          response.writeHead(found.status, { 'content-type': type })
          return Readable.fromWeb(found.body).pipe(response)
        }
        kept.set(key, { status: found.status, type, text: (await found.text()).replaceAll(upstream, base) })
      }
      const { status, type, text } = kept.get(key)
      response.writeHead(status, { 'content-type': type }).end(text)
    } catch (error) {
      response.writeHead(502).end(JSON.stringify({ error: String(error) }))
    }
  })
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  const base = `http://127.0.0.1:${server.address().port}/`
  const ours = new Map(tarballs.map((tarball) => describe(tarball, base)).map((each) => [each.name, each]))
  return { url: base, close: () => new Promise((resolve) => server.close(resolve).closeAllConnections()) }
}
