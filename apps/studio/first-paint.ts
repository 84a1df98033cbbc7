/**
 * The page's frame and the heads of its panels as HTML, and the script that picks the panel of the address: painted with the
 * stylesheet, before the program has come, which then takes the same elements over. The script also asks for the panel's files
 * beside the program's, where they would else be asked for once that runs. It is a file, as the content policy allows no inline one.
 */
import { createHash } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Plugin } from 'vite'
import { heads } from './src/heads.ts'

const escaped = (text: string) => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;')

/** As Shell renders it: what differs would move. */
const frame = () => `<button type="button" class="skip">To the panel</button><div class="shell">
<header class="side">
<div class="top"><a class="brand" href="#/guide"><img src="./icon.svg" alt="" width="24" height="24" />ParScale studio</a><button type="button" class="quiet phone">&nbsp;</button></div>
<nav aria-label="Panels"><ul>${heads.map(({ name, title }) => `<li><a href="#/${name}">${title}</a></li>`).join('')}</ul></nav>
<div class="foot"><p role="status"><span class="dot connecting"></span>looking for the server<br />&nbsp;</p><div class="field"><label for="theme">Colours</label><select id="theme"><option value="system">As the system</option><option value="light">Light</option><option value="dark">Dark</option></select></div></div>
</header>
<main id="main" tabindex="-1">${heads.map(headHtml).join('')}</main>
</div>`

function headHtml(head: (typeof heads)[number]): string {
  const lead = 'lead' in head ? `<p class="lead">${escaped(head.lead)}</p>` : ''
  return `<div class="panel first ${head.name}" data-name="${head.name}"><div><h1>${escaped(head.heading)}</h1>${lead}</div></div>`
}

/** Runs before anything is painted. */
const script = (files: Readonly<Record<string, readonly string[]>>) => `{
const root = document.documentElement
const name = location.hash.replace(/^#\\/?/, '').split('?')[0] || 'guide'
root.dataset.panel = name
try {
const theme = localStorage.getItem('parscale-theme')
if (theme === 'light' || theme === 'dark') root.dataset.theme = theme
} catch {}
const files = ${JSON.stringify(files)}
for (const file of Object.hasOwn(files, name) ? files[name] : []) {
const link = document.createElement('link')
link.rel = 'modulepreload'
link.fetchPriority = 'low'
link.crossOrigin = ''
link.href = './' + file
document.head.append(link)
}
}
`

export function firstPaint(outDir: string): Plugin {
  return {
    name: 'first-paint',
    transformIndexHtml: (html) =>
      html.replace('<div id="app"></div>', () => `<div id="app">${frame().replaceAll('\n', '')}</div>`),
    async writeBundle(_, bundle) {
      const chunks = new Map(Object.values(bundle).flatMap((one) => (one.type === 'chunk' ? [[one.fileName, one] as const] : [])))
      const withImports = (file: string, seen = new Set<string>()): Set<string> => {
        if (seen.has(file)) return seen
        seen.add(file)
        for (const imported of chunks.get(file)?.imports ?? []) withImports(imported, seen)
        return seen
      }
      const entry = [...chunks.values()].find((chunk) => chunk.isEntry)
      if (!entry) return
      const always = withImports(entry.fileName)
      const files = Object.fromEntries(
        heads.map(({ name }) => {
          const chunk = [...chunks.values()].find((one) => one.facadeModuleId?.endsWith(`/src/panels/${name}.tsx`))
          return [name, chunk ? [...withImports(chunk.fileName)].filter((file) => !always.has(file)) : []]
        }),
      )
      const text = script(files)
      const file = `assets/first-${createHash('sha256').update(text).digest('base64url').slice(0, 8)}.js`
      await writeFile(join(outDir, file), text)
      const index = join(outDir, 'index.html')
      const html = await readFile(index, 'utf8')
      // The frame is painted before the program is needed.
      const patched = html
        .replace('<link rel="preload"', () => `<script src="./${file}"></script>\n    <link rel="preload"`)
        .replace('<script type="module"', '<script type="module" fetchpriority="low"')
        .replaceAll('<link rel="modulepreload"', '<link rel="modulepreload" fetchpriority="low"')
      await writeFile(index, patched)
    },
  }
}
