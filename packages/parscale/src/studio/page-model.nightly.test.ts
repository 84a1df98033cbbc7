/** The model in the studio's page, in Chromium: beside a server, without one, and on a page that stands alone. */
import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import process from 'node:process'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { noBrowser } from '../../../../test/support/browser.ts'
import { hostFolder, studio as startStudio } from '../../../../test/support/studio.ts'
import type { TextModel } from '../index.ts'
import { loadTextModel } from '../load/load.ts'
import { cliPath, shippedModel } from '../package-files.ts'

const withBrowser = it.skipIf(noBrowser)
const slow = { timeout: 400_000 }
const studio = startStudio()
const page = () => studio.page
const prompt = 'The people of the United States'
let node: TextModel
beforeAll(async () => {
  node = await loadTextModel(undefined, { threads: 1, engine: 'onnx' })
})
afterAll(() => node.dispose())

const where = () => page().getByRole('group', { name: 'Where it runs' })
const runs = (words: RegExp) => where().getByText(words).waitFor({ timeout: 300_000 })
const runHere = async (words = /^Runs in this page, without a server: WASM/) => {
  await where().getByRole('button', { name: 'Run it in this page' }).click()
  await runs(words)
}
/** What Node writes, greedily. */
const expected = async (p: number, maxTokens: number) =>
  (await node.generate(prompt, { p, maxTokens, temperature: 0 })).tokens.map(({ text }) => shown(text))
const shown = (text: string) => (text === '' ? '∅' : text.replace(/\n/g, '↵').replace(/^ | $/g, '␣').replace(/\t/g, '⇥'))
const greedily = async (count: number) => {
  await page().getByLabel('Temperature').fill('0')
  await studio.write(count)
  await studio.written(count)
  return await studio.column(0)
}

withBrowser('writes in the page what Node writes, also when the server is gone, and from what is kept', slow, async () => {
  await studio.open('play')
  await runHere()
  expect(await studio.violations()).toEqual([])
  expect(await greedily(16)).toEqual(await expected(8, 16))
  // P changes, streams are knocked out: as with the server.
  await page().getByRole('button', { name: 'Stream 1', exact: true }).click()
  await studio.write(12)
  await studio.written(12)
  expect(new Set(await studio.column(2))).toEqual(new Set(['0%']))
  await page().getByRole('button', { name: 'Stream 1, knocked out' }).click()
  await page().getByRole('radiogroup', { name: 'Streams, P' }).getByText('1', { exact: true }).click()
  const port = Number(new URL(studio.url).port)
  await studio.kill('SIGKILL')
  try {
    expect(await greedily(16)).toEqual(await expected(1, 16))
    await page().getByRole('link', { name: 'Model', exact: true }).click()
    await page().getByRole('button', { name: 'Run the model of this page' }).waitFor()
    await page().getByRole('button', { name: 'Run the model of this page' }).click()
    await runs(/^Runs in this page/)
    expect(await studio.violations()).toEqual([])
  } finally {
    await studio.start(port)
  }
})

withBrowser('runs on WebGPU where it is chosen, and says so', slow, async () => {
  await studio.open('model')
  await page().getByRole('radiogroup', { name: 'Backend' }).getByText('WebGPU').click()
  await runHere(/^Runs in this page, without a server: WebGPU\./)
  await page().getByText('WebGPU runs, as asked for. Self-test: the eight tokens it is known to write.').waitFor()
  await page().getByRole('link', { name: 'Playground' }).click()
  expect(await greedily(4)).toEqual(await expected(8, 4))
})

withBrowser('runs files that are dropped, and refuses what is no model', slow, async () => {
  await studio.open('model')
  const choose = page().getByLabel('Choose files')
  await choose.setInputFiles({ name: 'x.gguf', mimeType: 'application/octet-stream', buffer: Buffer.from('PK\u0003\u0004') })
  expect(await page().getByRole('alert').textContent()).toMatch(/x\.gguf is no GGUF file/)
  await choose.setInputFiles(['config.json', 'tokenizer.json', 'model.safetensors'].map((file) => join(shippedModel, file)))
  await runs(/^Runs in this page/)
  // Its streams were not among the files.
  await page().getByRole('link', { name: 'Playground' }).click()
  expect(await greedily(8)).toEqual(await expected(1, 8))
})

withBrowser('says what a damaged model is, and goes on with the server', slow, async () => {
  await page().route('**/studio/model/model.safetensors', (route) => {
    const bytes = readFileSync(join(shippedModel, 'model.safetensors')).fill(0xff, 0, 8)
    return route.fulfill({ body: bytes, contentType: 'application/octet-stream' })
  })
  await studio.open('play')
  await where().getByRole('button', { name: 'Run it in this page' }).click()
  await where().getByRole('alert').waitFor()
  expect(await where().getByRole('alert').textContent()).toMatch(/model\.safetensors/)
  await studio.write(8)
  await studio.written(8)
})

withBrowser('stands alone: exported, with recorded traces and the model in the page, on any web host', slow, async () => {
  const out = join(studio.folder, 'page')
  const child = spawn(process.execPath, [cliPath, 'studio', '--export', out, '--threads', '1'], { stdio: 'ignore' })
  expect(await new Promise((resolve) => child.on('close', resolve))).toBe(0)
  const host = await hostFolder(out)
  studio.url = host.url
  try {
    await studio.open('play')
    await page().getByRole('button', { name: 'Write', exact: true }).click()
    await studio.written(64)
    await page().getByText('no server: recorded traces').waitFor()
    await runHere()
    await where()
      .getByText(/WASM, 1 thread\./)
      .waitFor()
    expect(await greedily(16)).toEqual(await expected(8, 16))
    await page().getByRole('link', { name: 'Guide' }).click()
    await page().getByRole('button', { name: 'Begin' }).click()
    await page().getByText(/of 48/).waitFor()
    await page().getByRole('button', { name: 'Step 6 of 6' }).click()
    await expect.poll(() => page().getByText('…', { exact: true }).count(), { timeout: 120_000 }).toBe(0)
    await page()
      .getByText(/Each P wrote 40 tokens/)
      .waitFor()
    expect(await studio.violations()).toEqual([])
    await page().getByRole('link', { name: 'Model', exact: true }).click()
    // No isolation on such a host: one thread, and a sentence.
    await page()
      .getByText(/One thread runs, .* the page is not isolated/)
      .waitFor()
    expect(await studio.violations()).toEqual([])
    expect(studio.outside).toEqual([])
  } finally {
    host.close()
  }
})
