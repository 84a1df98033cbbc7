/**
 * Pictures of every panel of the studio, light and dark, at 1280 and 390 pixels, from the real page with the model that ships:
 *
 *     npm run studio:screenshots [-- FOLDER [PANEL ...]]        default: docs/pictures/studio, all panels
 *
 * Needs Chromium: CHROMIUM, or /usr/bin/chromium.
 */
import { spawn } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import { chromium, type Page } from 'playwright-core'

const root = fileURLToPath(new URL('..', import.meta.url))
const [folder = join(root, 'docs/pictures/studio'), ...only] = process.argv.slice(2)

/** What is done before the picture is taken. */
const panels: Readonly<Record<string, (page: Page) => Promise<void>>> = {
  guide: async (page) => {
    await page.getByRole('button', { name: 'Begin' }).click()
    await page.getByText('and writes on').waitFor({ timeout: 20_000 })
  },
  play: async (page) => {
    await page.getByRole('button', { name: 'Write', exact: true }).click()
    await page.getByText(/120 tokens, .* each\./).waitFor({ timeout: 30_000 })
    await page.getByRole('group', { name: /^The text/ }).focus()
    for (let i = 0; i < 9; i++) await page.keyboard.press('ArrowRight')
  },
  law: async (page) => {
    await page.getByText('refits').first().waitFor({ timeout: 20_000 })
    await page.waitForTimeout(1500)
  },
  price: async (page) => void (await page.waitForTimeout(800)),
  training: async (page) => void (await page.waitForTimeout(800)),
  model: async (page) => void (await page.waitForTimeout(500)),
}

const server = spawn(process.execPath, [join(root, 'packages/parscale/bin/parscale.js'), 'studio', '--port', '0', '--runs', process.env.RUNS ?? join(root, 'runs')], {
  stdio: ['ignore', 'pipe', 'inherit'],
})
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
      await page.locator('h1').first().waitFor()
      await prepare(page)
      for (const theme of ['light', 'dark'] as const) {
        await page.emulateMedia({ colorScheme: theme })
        await page.waitForTimeout(150)
        const path = join(folder, `${name}-${theme}-${width}.png`)
        mkdirSync(dirname(path), { recursive: true })
        await page.screenshot({ path, fullPage: true })
      }
      await page.close()
    }
  }
} finally {
  await browser.close()
  server.kill('SIGTERM')
}
