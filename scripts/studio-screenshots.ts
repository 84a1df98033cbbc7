/**
 * Pictures of every panel of the studio, light and dark, at 1280 and 390 pixels, from the real page with the model that ships:
 *
 *     npm run studio:screenshots [-- FOLDER [PANEL ...]]        default: docs/pictures/studio, all panels
 *
 * Needs Chromium: CHROMIUM, or /usr/bin/chromium.
 */
import { spawn } from 'node:child_process'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import { chromium, type Page } from 'playwright-core'
import { paletted } from './palette-png.ts'

const root = fileURLToPath(new URL('..', import.meta.url))
// A name that is the same each time: the training panel shows it.
const runs = join(tmpdir(), 'parscale-studio', 'runs')
rmSync(runs, { recursive: true, force: true })
const text = speeches()
const [folder = join(root, 'docs/pictures/studio'), ...only] = process.argv.slice(2)

/** What is done before the picture is taken. */
const panels: Readonly<Record<string, (page: Page) => Promise<void>>> = {
  guide: async (page) => {
    await page.getByRole('button', { name: 'Begin' }).click()
    await page.getByRole('button', { name: 'Next' }).click()
    await page
      .getByText('Token 48 of 48')
      .waitFor({ timeout: 120_000 })
      .catch(() => {})
    await page.getByRole('slider').fill('9')
  },
  play: async (page) => {
    await page.getByRole('button', { name: 'Write', exact: true }).click()
    await page.getByText(/120 tokens, .* each\./).waitFor({ timeout: 120_000 })
    await page.getByRole('group', { name: /^The text/ }).focus()
    for (let i = 0; i < 9; i++) await page.keyboard.press('ArrowRight')
  },
  law: async (page) => {
    await page.getByText('refits').first().waitFor({ timeout: 120_000 })
    await page.waitForTimeout(1500)
  },
  price: async (page) => void (await page.waitForTimeout(800)),
  training: async (page) => {
    await page.getByText(runs).waitFor()
    if ((await page.getByRole('rowheader', { name: 'speeches', exact: true }).count()) === 0) {
      await page
        .getByLabel('Choose a text')
        .setInputFiles({ name: 'speeches.txt', mimeType: 'text/plain', buffer: Buffer.from(text) })
      await page.getByRole('button', { name: 'Train' }).click()
      await page.getByText(/finished, step 60 of 60/).waitFor({ timeout: 240_000 })
    }
    await page.getByLabel('Text', { exact: true }).fill(text.slice(0, 900))
    await page.getByRole('button', { name: 'Diagnose' }).click()
    await page.getByText('loss together').waitFor({ timeout: 120_000 })
    await page.waitForTimeout(500)
  },
  model: async (page) => {
    await page.getByRole('button', { name: 'Run it in this page' }).click()
    await page.getByText(/^Runs in this page/).waitFor({ timeout: 240_000 })
    await page.waitForTimeout(500)
  },
}

const server = spawn(
  process.execPath,
  [join(root, 'packages/parscale/bin/parscale.js'), 'studio', '--port', '0', '--runs', runs],
  {
    stdio: ['ignore', 'pipe', 'inherit'],
  },
)
const url = await new Promise<string>((resolve, reject) => {
  let text = ''
  server.stdout.setEncoding('utf8').on('data', (part: string) => {
    text += part
    const found = /The studio: (\S+)/.exec(text)
    if (found) resolve(found[1]!)
  })
  server.on('close', () => reject(new Error('the studio ended')))
})
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: ['--no-sandbox'] })
try {
  for (const [name, prepare] of Object.entries(panels)) {
    if (only.length > 0 && !only.includes(name)) continue
    for (const [width, height] of [
      [1280, 860],
      [390, 844],
    ] as const) {
      const page = await browser.newPage({ viewport: { width, height }, colorScheme: 'light', reducedMotion: 'reduce' })
      page.on('pageerror', (error) => console.error(name, error))
      await page.goto(`${url}/#/${name}`)
      for (const early of ['.first', '.panel[aria-busy]']) await page.locator(early).first().waitFor({ state: 'detached' })
      await prepare(page)
      for (const theme of ['light', 'dark'] as const) {
        await page.emulateMedia({ colorScheme: theme })
        await page.waitForTimeout(150)
        const path = join(folder, `${name}-${theme}-${width}.png`)
        mkdirSync(dirname(path), { recursive: true })
        await page.evaluate(() => scrollTo(0, 0))
        writeFileSync(path, paletted(await page.screenshot({ fullPage: true })))
      }
      await page.close()
    }
  }
} finally {
  await browser.close()
  server.kill('SIGTERM')
  rmSync(runs, { recursive: true, force: true })
}

/** Prose enough to train on for a minute, and always the same. */
function speeches(): string {
  const who = ['The people', 'Our nation', 'This Congress', 'Every citizen', 'The President', 'The world']
  const does = ['has asked for', 'will remember', 'must defend', 'looks upon', 'cannot forget', 'is thankful for']
  const what = [
    'the work of peace',
    'a fair law',
    'the union of these states',
    'the labour of honest hands',
    'the sea and its whales',
    'better times',
  ]
  const line = (i: number) =>
    `${who[i % 6]} ${does[(i * 5 + (i >> 3)) % 6]} ${what[(i * 7 + (i >> 2)) % 6]}${i % 4 === 0 ? ', and so do we' : ''}.`
  return Array.from({ length: 120 }, (_, p) => Array.from({ length: 4 }, (_, i) => line(p * 4 + i)).join(' ')).join('\n\n')
}
