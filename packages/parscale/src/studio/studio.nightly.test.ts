/** The panels of the studio in Chromium, with the real server and the model that ships, by mouse and by keyboard. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { noBrowser } from '../../../../test/support/browser.ts'
import { studio as startStudio } from '../../../../test/support/studio.ts'
import { studioFolder } from '../package-files.ts'

const withBrowser = it.skipIf(noBrowser)
const slow = { timeout: 300_000 }
const studio = startStudio()
const page = () => studio.page

withBrowser('plays: P switched, a stream knocked out, the same text again from a link', slow, async () => {
  await studio.open('play')
  await studio.write(24)
  await studio.written(24)
  const first = await studio.column(0)
  expect(first.length).toBe(24)
  // By keyboard to the third token: what each stream said of it.
  await studio.tokens().focus()
  for (let i = 0; i < 3; i++) await page().keyboard.press('ArrowRight')
  await page()
    .getByText(/^token 3 · probability/)
    .waitFor()
  expect(await page().getByRole('table', { name: 'What each stream said' }).getByRole('row').count()).toBe(9)
  expect(await studio.violations()).toEqual([])
  // The same seed gives the same text; without a stream its weight is nothing.
  await page().getByRole('button', { name: 'Stream 1', exact: true }).click()
  await page().getByRole('button', { name: 'Write again' }).click()
  await studio.written(24)
  expect(new Set(await studio.column(2))).toEqual(new Set(['0%']))
  await page().getByRole('button', { name: 'Link to this trace' }).click()
  await page()
    .getByText(/address bar/)
    .waitFor()
  const knocked = await studio.column(0)
  const address = page().url()
  expect(address).toContain('out=1')
  await page().goto('about:blank')
  await page().goto(address)
  await studio.written(24)
  expect(await studio.column(0)).toEqual(knocked)
})

withBrowser('switches P while a text is written, stops it, goes on, and repeats all of that from a link', slow, async () => {
  await studio.open('play')
  await studio.write(400)
  await page()
    .getByText(/^\d\d+ tokens, .* ms each$/)
    .waitFor()
  await page().getByRole('radiogroup', { name: 'Streams, P' }).getByText('2', { exact: true }).click()
  await page().waitForTimeout(600)
  await page().getByRole('button', { name: 'Stop' }).click()
  await page()
    .getByText(/^Stopped after/)
    .waitFor()
  await page().getByLabel('Tokens', { exact: true }).fill('40')
  await page().getByRole('button', { name: 'Link to this trace' }).click()
  expect(page().url()).toMatch(/p=8.*changes=\d+-2/)
})

withBrowser('puts P = 1 beside it with the same seed', slow, async () => {
  await studio.open('play')
  await page().getByLabel('P = 1 beside it').check()
  await studio.write(12)
  await studio.written(12)
  await page().getByRole('group', { name: 'The text of P = 1: 12 tokens', exact: false }).waitFor()
})

withBrowser('keeps what was written where the server is killed in the middle, and goes on when it is back', slow, async () => {
  await studio.open('play')
  await studio.write(2000)
  await page()
    .getByText(/^\d\d+ tokens, .* ms each$/)
    .waitFor()
  const port = Number(new URL(studio.url).port)
  await studio.kill('SIGKILL')
  await page()
    .getByText(/The \d+ tokens so far are kept/)
    .waitFor()
  const kept = Number(/The (\d+) tokens/.exec((await page().getByRole('alert').textContent())!)![1])
  expect(kept).toBeGreaterThan(9)
  await studio.start(port)
  await page().getByText('The server is back.').waitFor()
  await page().getByRole('button', { name: 'Go on where it stopped' }).click()
  await expect
    .poll(async () => Number(/(\d+) tokens/.exec((await studio.tokens().getAttribute('aria-label'))!)![1]), { timeout: 60_000 })
    .toBeGreaterThan(kept + 5)
  await page().getByRole('button', { name: 'Stop' }).click()
})

withBrowser('takes ten thousand tokens of eight streams, and draws what is seen of them', slow, async () => {
  const n = 10_000
  const chunk = (i: number) => {
    const weights = Array.from({ length: 8 }, (_, s) => (s === i % 8 ? 0.3 : 0.1))
    const text = ` word${i}`
    return {
      choices: [
        {
          ...{ index: 0, text, finish_reason: null },
          logprobs: { tokens: [text], token_logprobs: [-1], top_logprobs: [{ [text]: -1 }], text_offset: [0] },
          parscale: {
            token_ids: [i],
            streams: [weights],
            stream_choices: [weights.map(() => ({ id: i, token: text, logprob: -1 }))],
          },
        },
      ],
    }
  }
  const events = Array.from({ length: n }, (_, i) => `data: ${JSON.stringify(chunk(i))}\n\n`).join('')
  // The model's own context is shorter: its answer is made here.
  await page().route('**/v1/completions', (route) =>
    route.fulfill({ contentType: 'text/event-stream', body: `${events}data: [DONE]\n\n` }),
  )
  await studio.open('play')
  await studio.write(n)
  await studio.written(n)
  await studio.tokens().focus()
  await page().keyboard.press('End')
  await page()
    .getByText(/^token 10000 · probability/)
    .waitFor()
  const canvas = page().locator('.tokens canvas')
  // As large as what is seen, however long the text; and at its end something is drawn.
  type Canvas = {
    readonly width: number
    readonly height: number
    getContext(kind: '2d'): { getImageData(x: number, y: number, width: number, height: number): { data: Uint8ClampedArray } }
  }
  expect(await canvas.evaluate((element) => (element as unknown as Canvas).height)).toBeLessThanOrEqual(300)
  const inked = await canvas.evaluate((element) => {
    const { width, height } = element as unknown as Canvas
    const { data } = (element as unknown as Canvas).getContext('2d').getImageData(0, 0, width, height)
    return data.filter((value, i) => i % 4 === 3 && value > 0).length / (width * height)
  })
  expect(inked).toBeGreaterThan(0.2)
})

withBrowser('bends the law: sliders, a CSV of the reader, and one that will not do', slow, async () => {
  await studio.open('law')
  await page().getByText('Loss over N', { exact: true }).waitFor()
  const answer = page().locator('.answer')
  // The paper's headline: 1.6B with P = 8 does what some 2.8B do.
  expect(await answer.textContent()).toMatch(/1\.57B parameters with P = 8 have the loss 1\.04\d.* 2\.[789]\d?B/)
  await page()
    .getByLabel(/^P, streams/)
    .focus()
  for (let i = 0; i < 20; i++) await page().keyboard.press('ArrowLeft')
  expect(await answer.textContent()).toMatch(/P = 4 /)
  await page()
    .getByText(/200 of 200 refits/)
    .waitFor()
  expect(await studio.violations()).toEqual([])
  await page()
    .getByLabel('Choose a file')
    .setInputFiles({ name: 'bad.csv', mimeType: 'text/csv', buffer: Buffer.from('size,loss\n1,2\n') })
  expect(await page().getByRole('alert').textContent()).toMatch(/bad\.csv, line 1: no column 'N'.* The points before stay/)
  // Made by loss = 1 + (1e8 / (N (0.5 ln P + 1)))^0.3: the fit finds it again.
  const rows = [2e8, 4e8, 8e8, 2e9].flatMap((N) =>
    [1, 2, 16].map((P) => `${N},${P},${1 + (1e8 / (N * (0.5 * Math.log(P) + 1))) ** 0.3}`),
  )
  await page()
    .getByLabel('Choose a file')
    .setInputFiles({ name: 'mine.csv', mimeType: 'text/csv', buffer: Buffer.from(`N,P,loss\n${rows.join('\n')}\n`) })
  await page().getByText('12 points read.').waitFor()
  await page().getByText('P = 16', { exact: true }).first().waitFor()
  expect(await page().getByRole('row', { name: /^k / }).getByRole('cell').first().textContent()).toBe('0.5000')
})

withBrowser(
  'prices: another budget, another model; Figure 4 with the row where streams lose; a bench beside it',
  slow,
  async () => {
    await studio.open('price')
    const answer = page().locator('.answer')
    const before = await answer.textContent()
    await page()
      .getByLabel(/^Memory/)
      .focus()
    for (let i = 0; i < 60; i++) await page().keyboard.press('ArrowLeft')
    expect(await answer.textContent()).not.toBe(before)
    await page()
      .getByLabel(/^Time a token/)
      .fill(String(Math.log(0.5)))
    expect(await page().getByRole('alert').textContent()).toMatch(/No candidate meets the budget/)
    await page()
      .getByLabel(/^Time a token/)
      .fill(String(Math.log(400)))
    expect(
      await page()
        .getByRole('row', { name: /batch 8: streams lose in time/ })
        .textContent(),
    ).toMatch(/0\.88/)
    const bench = readFileSync(new URL('../testing/recorded-bench.json', import.meta.url))
    await page()
      .getByLabel('Choose a bench result')
      .setInputFiles({ name: 'bench.json', mimeType: 'application/json', buffer: bench })
    await page().getByRole('region', { name: 'Measured beside computed' }).waitFor()
    expect(await studio.violations()).toEqual([])
    await page()
      .getByLabel('Choose a bench result')
      .setInputFiles({ name: 'x.json', mimeType: 'application/json', buffer: Buffer.from('{}') })
    expect(await page().getByRole('alert').textContent()).toMatch(/x\.json is no result of a bench/)
  },
)

const speech = Array.from(
  { length: 90 },
  (_, i) => `The people of state ${i % 7} ask for ${['peace', 'laws', 'honest work', 'the sea'][i % 4]} in the year ${1800 + i}.`,
).join('\n\n')

withBrowser('trains on a dropped text, stops, and diagnoses', slow, async () => {
  await studio.open('training')
  await page()
    .getByLabel('Choose a text')
    .setInputFiles({ name: 'speech.txt', mimeType: 'text/plain', buffer: Buffer.from(speech) })
  await page().getByLabel('Steps').fill('5000')
  await page().getByLabel('Steps').blur()
  await page().getByRole('button', { name: 'Train' }).click()
  await page()
    .getByText(/trains, step [1-9]\d* of 5000/)
    .waitFor()
  await page().getByRole('button', { name: 'Stop' }).click()
  await page().getByRole('button', { name: 'Stop' }).waitFor({ state: 'detached' })
  // It wrote a checkpoint, and says so.
  await page()
    .getByText(/(stopped|trains), step \d+ of 5000/)
    .first()
    .waitFor()
  expect(existsSync(join(studio.folder, 'runs', 'speech', 'checkpoints'))).toBe(true)
  await page().getByLabel('Text', { exact: true }).fill(speech.slice(0, 300))
  await page().getByRole('button', { name: 'Diagnose' }).click()
  await page().getByText('loss together').waitFor()
  expect(await studio.violations()).toEqual([])
})

withBrowser('says what is no model, and guides through a minute', slow, async () => {
  await studio.open('model')
  await page()
    .getByLabel('Choose files')
    .setInputFiles({ name: 'x.gguf', mimeType: 'application/octet-stream', buffer: Buffer.from('PK\u0003\u0004') })
  expect(await page().getByRole('alert').textContent()).toMatch(/x\.gguf is no GGUF file/)
  expect(await studio.violations()).toEqual([])
  await page().emulateMedia({ reducedMotion: 'reduce', colorScheme: 'dark' })
  await studio.open('guide')
  expect(await studio.violations()).toEqual([])
  await page().getByRole('button', { name: 'Begin' }).click()
  await page().getByText(/of 48/).waitFor()
  await page().getByRole('button', { name: 'Next' }).click()
  await page().getByRole('button', { name: 'Next' }).click()
  await page()
    .getByText(/The same seed; from token|The same text/)
    .waitFor()
  expect(await studio.violations()).toEqual([])
  await page().getByRole('button', { name: 'Next' }).click()
  await page()
    .getByText(/do what/)
    .waitFor()
  await page().getByRole('button', { name: 'Next' }).click()
  await expect.poll(() => page().getByText('…', { exact: true }).count(), { timeout: 120_000 }).toBe(0)
  expect(await studio.violations()).toEqual([])
})

const panels = ['guide', 'play', 'law', 'price', 'training', 'model']

withBrowser('shows the frame and the head of each panel before the program comes, as the program then does', slow, async () => {
  const program = /\/assets\/index-[\w-]+\.js$/
  const seen = async () => ({
    heads: (await page().locator('main').innerText()).split('\n').filter((line) => line !== ''),
    links: await page().getByRole('navigation').innerText(),
  })
  for (const panel of panels) {
    await page().goto('about:blank')
    await page().route(program, (route) => route.abort())
    await page().goto(`${studio.url}/#/${panel}`)
    const early = await seen()
    await page().unroute(program)
    await page().goto('about:blank')
    await studio.open(panel)
    const then = await seen()
    expect(early.links).toBe(then.links)
    expect(early.heads.length).toBeGreaterThan(0)
    expect(then.heads).toEqual(expect.arrayContaining(early.heads))
  }
  // The program was kept away on purpose.
  studio.faults.length = 0
})

withBrowser.each([390, 1280])('shifts nothing, and fits %i pixels', slow, async (width) => {
  await page().setViewportSize({ width, height: 844 })
  await page().addInitScript(() => {
    const kept = globalThis as unknown as { shift: number }
    kept.shift = 0
    new PerformanceObserver((list) => {
      for (const entry of list.getEntries() as unknown as { value: number; hadRecentInput: boolean }[])
        if (!entry.hadRecentInput) kept.shift += entry.value
    }).observe({ type: 'layout-shift', buffered: true })
  })
  for (const panel of panels) {
    await page().goto('about:blank')
    await studio.open(panel)
    // The law's intervals come last.
    if (panel === 'law')
      await page()
        .getByText(/200 of 200 refits/)
        .waitFor()
    await page().waitForTimeout(1500)
    const { shift, wide } = await page().evaluate(() => ({
      shift: (globalThis as unknown as { shift: number }).shift,
      wide: (globalThis as unknown as { document: { documentElement: { scrollWidth: number } } }).document.documentElement
        .scrollWidth,
    }))
    // Less where a scroll bar takes room.
    expect(wide).toBeLessThanOrEqual(width)
    expect({ panel, shift: Math.round(shift * 1e5) / 1e5 }).toEqual({ panel, shift: 0 })
  }
})

withBrowser.each(['light', 'dark'] as const)('has nothing that axe finds, in any panel, %s', slow, async (colorScheme) => {
  await page().emulateMedia({ colorScheme, reducedMotion: 'reduce' })
  for (const panel of panels) {
    await studio.open(panel)
    await page().waitForTimeout(500)
    expect({ panel, found: await studio.violations() }).toEqual({ panel, found: [] })
  }
})

withBrowser(
  'fetches less than 150 KB of script for any panel, workers included, before the runtime is asked for',
  slow,
  async () => {
    for (const panel of panels) {
      // A browser that has nothing kept.
      const context = await studio.browser.newContext()
      const fresh = await context.newPage()
      const fetched: { readonly name: string; readonly bytes: number }[] = []
      const counted: Promise<void>[] = []
      fresh.on('requestfinished', (request) => {
        const count = async () => {
          const response = await request.response()
          if (!/javascript/.test(response?.headers()['content-type'] ?? '')) return
          const { responseBodySize } = await request.sizes()
          fetched.push({ name: new URL(request.url()).pathname.split('/').at(-1)!, bytes: responseBodySize })
        }
        counted.push(count())
      })
      await fresh.goto(`${studio.url}/#/${panel}`)
      // Its parts come one after the other: workers and charts after what is seen at once.
      const last = { law: /200 of 200 refits/, price: /Lowest loss/ }[panel as string]
      if (last) await fresh.getByText(last).waitFor()
      await fresh.waitForLoadState('networkidle', { timeout: 5000 }).catch(() => {})
      await fresh.waitForTimeout(1500)
      await Promise.all(counted)
      await context.close()
      const worker = { law: /^refit-worker/, price: /^plan-worker/ }[panel as string]
      if (worker) expect(fetched.map(({ name }) => name).join(' ')).toMatch(new RegExp(worker.source.replace('^', '')))
      const bytes = fetched.reduce((sum, each) => sum + each.bytes, 0)
      const list = fetched
        .toSorted((a, b) => b.bytes - a.bytes)
        .map(({ name, bytes }) => `${name} ${bytes}`)
        .join(', ')
      expect(fetched.length, panel).toBeGreaterThan(2)
      expect(bytes, `${panel} fetches ${bytes} bytes of script: ${list}`).toBeLessThan(150_000)
    }
  },
)

it('sends each file compressed to who takes that, and the same to who does not', async () => {
  const assets = readdirSync(join(studioFolder, 'assets')).map((file) => `assets/${file.replace(/\.gz$/, '')}`)
  for (const path of ['', ...assets]) {
    const [plain, packed] = await Promise.all(
      ['identity', 'gzip'].map((coding) => fetch(`${studio.url}/${path}`, { headers: { 'accept-encoding': coding } })),
    )
    expect([path, plain!.headers.get('content-encoding')]).toEqual([path, null])
    expect([path, packed!.headers.get('content-encoding')]).toEqual([path, path.endsWith('.woff2') ? null : 'gzip'])
    const [a, b] = await Promise.all([plain!.arrayBuffer(), packed!.arrayBuffer()])
    expect(Buffer.from(a).equals(Buffer.from(b)), path).toBe(true)
  }
})
