/** Whether a tarball of parscale has the whole page of `parscale studio`. */
import { execFileSync } from 'node:child_process'

const page = 'package/dist/studio-page/'

/** @throws Error that names the files that index.html asks for and the tarball does not have */
export function requirePageFiles(tarball) {
  const tar = (...args) => execFileSync('tar', [...args], { encoding: 'utf8', maxBuffer: 1 << 26 })
  const there = new Set(tar('-tzf', tarball).split('\n'))
  const html = tar('-xzOf', tarball, `${page}index.html`)
  const named = [...html.matchAll(/(?:src|href)="(?:\.?\/)?([^":#?]+)"/g)].map(([, path]) => path)
  if (!named.some((path) => path.endsWith('.js'))) throw new Error(`${tarball}: the page's index.html names no script`)
  const missing = named.filter((path) => !there.has(page + path))
  if (missing.length > 0) throw new Error(`${tarball}: the page asks for ${missing.join(', ')}, which the tarball does not have`)
}
