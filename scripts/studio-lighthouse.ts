/**
 * Lighthouse on panels of the studio, with the real server and the model that ships:
 *
 *     npm run studio:lighthouse [-- PANEL ...]        default: all panels
 *
 * Fails below performance 95, accessibility 100 or with any layout shift. Fetches lighthouse by npx; needs Chromium: CHROMIUM, or
 * /usr/bin/chromium. Performance is of this machine, which should have nothing else to do.
 */
import { execFile, spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const lighthouse = 'lighthouse@12.2'
const given = process.argv.slice(2)
const panels = given.length > 0 ? given : ['guide', 'play', 'law', 'price', 'training', 'model']
const least = { performance: 0.95, accessibility: 1 }

const cli = fileURLToPath(new URL('../packages/parscale/bin/parscale.js', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'parscale-lighthouse-'))
const server = spawn(process.execPath, [cli, 'studio', '--port', '0', '--runs', join(folder, 'runs')], {
  stdio: ['ignore', 'pipe', 'inherit'],
})
const url = await new Promise<string>((resolve, reject) => {
  let said = ''
  server.stdout.setEncoding('utf8').on('data', (part: string) => {
    said += part
    const found = /The studio: (\S+)/.exec(said)
    if (found) resolve(found[1]!)
  })
  server.on('close', () => reject(new Error('the studio ended')))
})

interface Report {
  readonly categories: Readonly<Record<string, { readonly score: number }>>
  readonly audits: Readonly<
    Record<string, { readonly score: number | null; readonly numericValue?: number; readonly displayValue?: string }>
  >
}

try {
  for (const panel of panels) {
    const args = [
      '--yes',
      lighthouse,
      `${url}/#/${panel}`,
      '--quiet',
      '--output=json',
      '--only-categories=performance,accessibility',
    ]
    const { stdout } = await promisify(execFile)('npx', [...args, '--chrome-flags=--headless=new --no-sandbox'], {
      env: { ...process.env, CHROME_PATH: process.env.CHROMIUM ?? '/usr/bin/chromium' },
      maxBuffer: 1 << 26,
    })
    const { categories, audits } = JSON.parse(stdout) as Report
    const shift = audits['cumulative-layout-shift']!.numericValue!
    const scores = Object.entries(least).map(([name, bound]) => ({ name, bound, score: categories[name]!.score }))
    const paint = ['first-contentful-paint', 'largest-contentful-paint', 'total-blocking-time'].map(
      (name) => `${name} ${audits[name]!.displayValue}`,
    )
    console.log(
      `${panel}: ${scores.map(({ name, score }) => `${name} ${Math.round(100 * score)}`).join(', ')}, layout shift ${shift.toFixed(4)} (${paint.join(', ')})`,
    )
    if (shift > 0 || scores.some(({ score, bound }) => score < bound)) {
      process.exitCode = 1
      const failed = Object.entries(audits).filter(([, { score }]) => score !== null && score < 0.9)
      console.log(`  ${failed.map(([name, { displayValue }]) => `${name} ${displayValue ?? ''}`).join('\n  ')}`)
    }
  }
} finally {
  server.kill('SIGTERM')
  rmSync(folder, { recursive: true, force: true })
}
