/**
 * The studio, given what it does not expect, in every place that takes something: files, text, addresses, run folders, a server that
 * fails, a browser that has less. Each time a sentence says what was expected, what was there stays, nothing is thrown, and the panel
 * works afterwards.
 */
import {
  closeSync,
  existsSync,
  ftruncateSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type BrowserContext, chromium, type Route } from 'playwright-core'
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest'
import { shippedModel } from '../packages/parscale/src/package-files.ts'
import { executablePath, launchProfile, noBrowser } from './support/browser.ts'
import { studio as startStudio } from './support/studio.ts'

const withBrowser = it.skipIf(noBrowser)
const slow = { timeout: 400_000 }
const studio = startStudio()
const page = () => studio.page
const folder = mkdtempSync(join(tmpdir(), 'parscale-rubbish-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** What the page complains of. That a file could not be fetched is the browser's own word, and no fault. */
const complaints: string[] = []
beforeEach(() => {
  if (noBrowser) return
  page().on('console', (message) => {
    if (message.type() === 'error' && !message.text().startsWith('Failed to load resource')) complaints.push(message.text())
  })
})
afterEach(() => expect(complaints.splice(0)).toEqual([]))

type Given = string | { name: string; mimeType: string; buffer: Buffer }
const file = (name: string, content: string | Buffer): Given => ({
  name,
  mimeType: 'application/octet-stream',
  buffer: Buffer.from(content),
})
const give = async (label: string, files: Given | readonly Given[]) =>
  await page()
    .getByLabel(label, { exact: true })
    .setInputFiles(files as string[])
const alerts = async () =>
  (await page().getByRole('alert').allTextContents()).map((text) => text.replace(/\s+/g, ' ').trim()).join('\n')
/** A sentence on the screen, in an alert; long enough to say what to do, and not what a program says to itself. */
const says = async (words: RegExp) => {
  await expect.poll(alerts, { timeout: 30_000 }).toMatch(words)
  expect(await alerts()).not.toMatch(/undefined|\[object|NaN|TypeError|SyntaxError|is not a function/)
}

const png = Buffer.from(
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==',
  'base64',
)
const ggufHead = (tensors: bigint, entries: bigint) => {
  const bytes = Buffer.alloc(24)
  bytes.write('GGUF')
  bytes.writeUInt32LE(3, 4)
  bytes.writeBigUInt64LE(tensors, 8)
  bytes.writeBigUInt64LE(entries, 16)
  return bytes
}
const shipped = (name: string) => readFileSync(join(shippedModel, name))
const lengthThen = (length: bigint, rest: string) => {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64LE(length)
  return Buffer.concat([bytes, Buffer.from(rest)])
}
const withShipped = (changed: Readonly<Record<string, Buffer | string | undefined>>): Given[] =>
  ['config.json', 'tokenizer.json', 'model.safetensors'].flatMap((name) => {
    const content = name in changed ? changed[name] : shipped(name)
    return content === undefined ? [] : [file(name, content)]
  })

const noModels: readonly (readonly [name: string, files: Given[], words: RegExp])[] = [
  ['an empty file', [file('empty.gguf', '')], /empty\.gguf is empty: .* Fetch it again/],
  ['a picture', [file('cat.gguf', png)], /cat\.gguf is no GGUF file: it begins with .* instead of "GGUF"\. Choose/],
  ['four bytes of a GGUF', [file('four.gguf', 'GGUF')], /four\.gguf.*(?:ends|short|cut|incomplete)/],
  [
    'a GGUF that is cut in its header',
    [file('cut.gguf', Buffer.concat([ggufHead(3n, 9n), Buffer.from('\u0004')]))],
    /cut\.gguf.*(?:ends|short|cut|incomplete)/,
  ],
  ['a GGUF of more tensors than there are bytes', [file('many.gguf', ggufHead(2n ** 60n, 1n))], /many\.gguf.*tensors/],
  [
    'a header longer than the file',
    withShipped({ 'model.safetensors': lengthThen(2n ** 40n, '{}') }),
    /model\.safetensors.*header/,
  ],
  [
    'a header that is no JSON',
    withShipped({ 'model.safetensors': lengthThen(12n, '<html></html>') }),
    /model\.safetensors.*(?:JSON|header)/,
  ],
  ['an empty safetensors', withShipped({ 'model.safetensors': '' }), /model\.safetensors/],
  ['no config.json', withShipped({ 'config.json': undefined }), /config\.json is missing.*together/],
  ['no tokenizer.json', withShipped({ 'tokenizer.json': undefined }), /tokenizer\.json is missing.*together/],
  ['a page for a config.json', withShipped({ 'config.json': '<!doctype html><title>404</title>' }), /config\.json.*JSON/],
  ['a page for a tokenizer.json', withShipped({ 'tokenizer.json': '<!doctype html>' }), /tokenizer\.json.*JSON/],
  ['a config.json of nothing', withShipped({ 'config.json': '{}' }), /config\.json/],
  [
    'half a tokenizer.json',
    withShipped({ 'tokenizer.json': shipped('tokenizer.json').subarray(0, 500) }),
    /tokenizer\.json.*JSON/,
  ],
  ['a text', [file('notes.txt', 'no model')], /notes\.txt: no model\. A model is a \.gguf file, or/],
]

/** A model whose files say that they have far more than any page may, and are holes on the disk. */
function hugeModel(): string[] {
  const bytes = shipped('model.safetensors')
  const length = Number(bytes.readBigUInt64LE(0))
  const header = JSON.parse(bytes.subarray(8, 8 + length).toString()) as Record<
    string,
    { dtype: string; shape: number[]; data_offsets: [number, number] }
  >
  const config = JSON.parse(shipped('config.json').toString()) as { intermediate_size: number }
  const wide = 40_000_000
  let end = 0
  for (const [name, entry] of Object.entries(header)) {
    if (name === '__metadata__') continue
    const [from, to] = entry.data_offsets
    const size = (to - from) / entry.shape.reduce((a, b) => a * b, 1)
    if (name.includes('.mlp.')) entry.shape = entry.shape.map((side) => (side === config.intermediate_size ? wide : side))
    const next = end + size * entry.shape.reduce((a, b) => a * b, 1)
    entry.data_offsets = [end, next]
    end = next
  }
  const text = Buffer.from(JSON.stringify(header))
  const at = mkdtempSync(join(folder, 'huge-'))
  const path = (name: string) => join(at, name)
  const descriptor = openSync(path('model.safetensors'), 'w')
  writeSync(descriptor, lengthThen(BigInt(text.length), text.toString()))
  ftruncateSync(descriptor, 8 + text.length + end)
  closeSync(descriptor)
  writeFileSync(path('config.json'), JSON.stringify({ ...config, intermediate_size: wide }))
  writeFileSync(path('tokenizer.json'), shipped('tokenizer.json'))
  return ['config.json', 'tokenizer.json', 'model.safetensors'].map(path)
}

const where = () => page().getByRole('group', { name: 'Where it runs' })

withBrowser('files that are no model, for the page: what runs there runs on', slow, async () => {
  await studio.open('model')
  await where().getByRole('button', { name: 'Run it in this page' }).click()
  const runs = where().getByText(/^Runs in this page, without a server/)
  await runs.waitFor({ timeout: 200_000 })
  for (const [name, files, words] of [
    ...noModels,
    ['a model larger than memory', hugeModel(), /too large for this page.*nothing was read/] as const,
  ]) {
    await give('Choose files', files)
    await says(words).catch((error) => Promise.reject(new Error(`${name}: ${error.message}`)))
    expect(await alerts(), name).toMatch(
      /What (?:was loaded before stays|ran before still runs)|together\.|Fetch it again|Choose a|A model is/,
    )
    await runs.waitFor()
  }
  await page().getByRole('link', { name: 'Playground' }).click()
  await studio.write(4)
  await studio.written(4)
})

withBrowser('files that are no model, for the server: what it has answers on, and nothing is left of them', slow, async () => {
  await studio.open('model')
  await page().getByRole('radiogroup', { name: 'Where it is to run' }).getByText('In the server').click()
  for (const [name, files, words] of noModels) {
    await give('Choose files', files)
    await says(words).catch((error) => Promise.reject(new Error(`${name}: ${error.message}`)))
  }
  await give('Choose files', hugeModel())
  await says(/too large\. Nothing was read/)
  const dropped = join(studio.folder, 'cache', 'studio')
  expect(existsSync(dropped) ? readdirSync(dropped) : []).toEqual([])
  await page().getByRole('link', { name: 'Playground' }).click()
  await studio.write(4)
  await studio.written(4)
})

/** Drops a file or folder of the disk at a place on the page, as a desktop does. */
async function drop(path: string, x: number, y: number) {
  const session = await page().context().newCDPSession(page())
  const data = { items: [], files: [path], dragOperationsMask: 1 }
  for (const type of ['dragEnter', 'dragOver', 'drop'] as const)
    await session.send('Input.dispatchDragEvent', { type, x, y, data })
  await session.detach()
}

withBrowser('folders that are dropped where a file belongs, and files that miss their place', slow, async () => {
  const empty = join(folder, 'a folder')
  mkdirSync(empty)
  const csv = join(folder, 'points.csv')
  writeFileSync(csv, 'N,P,loss\n')
  for (const [panel, words] of [
    ['law', /a folder cannot be read: it is a folder, or .* Choose a file/],
    ['price', /a folder cannot be read/],
    ['training', /a folder cannot be read/],
    ['model', /nothing was dropped that has files; drop a model’s folder/i],
  ] as const) {
    await studio.open(panel)
    const zone = page().locator('.drop')
    await zone.scrollIntoViewIfNeeded()
    const { x, y } = (await zone.boundingBox())!
    await drop(empty, x + 40, y + 8)
    await says(words)
    const address = page().url()
    await page().evaluate('scrollTo(0, 0)')
    await drop(csv, 600, 60)
    await page().waitForTimeout(300)
    expect(page().url()).toBe(address)
    expect(page().context().pages()).toHaveLength(1)
    await says(words)
  }
})

withBrowser('texts to train on that are none', slow, async () => {
  await studio.open('training')
  const good = 'A line of a text that has enough of them. '.repeat(60)
  await give('Choose a text', file('good.txt', good))
  await page().getByText('good.txt: 2,520 characters').waitFor()
  for (const [content, words] of [
    ['', /bad\.txt is empty\. Choose a text of 2,000 characters/],
    [' \n\t \r\n', /bad\.txt has only white space\. Choose/],
    ['a\0b\0c', /bad\.txt has NUL bytes, which no text has.*Choose a text file/],
    [Buffer.from([0x66, 0xfc, 0x72]), /bad\.txt is no text in UTF-8\. Save it as UTF-8/],
    [Buffer.from('\ufeffText', 'utf16le'), /bad\.txt is a text in UTF-16; UTF-8 was expected\. Save/],
    [png, /bad\.txt is no text in UTF-8/],
    ['a'.repeat(12_000_001), /bad\.txt has 12 MB; from the page at most 12 MB\. Larger ones: parscale train recycle/],
  ] as const) {
    await give('Choose a text', file('bad.txt', content))
    await says(words)
    // What was chosen before stays, and can be trained on.
    await page().getByText('good.txt: 2,520 characters').waitFor()
  }
  await give('Choose a text', file('short.txt', 'Too short.'))
  await page().getByRole('button', { name: 'Train' }).click()
  await says(/10 characters; streams need at least 2000/)
  await page().getByLabel('Name of the run').fill('../up')
  await page().getByRole('button', { name: 'Train' }).click()
  await says(/a run's name has letters, digits/i)
  // A diagnosis of what is no text to speak of.
  await page().getByLabel('Text', { exact: true }).fill('a')
  await page().getByRole('button', { name: 'Diagnose' }).click()
  await says(/1 tokens?; a diagnosis needs at least 3/)
  await page()
    .getByLabel('Text', { exact: true })
    .fill('\ud800\u0000\u202e🙂 <script>alert(1)</script> &amp; ok then, go on with it')
  await page().getByRole('button', { name: 'Diagnose' }).click()
  await page().getByText('loss together').waitFor()
})

/** Of the law itself: a fit finds it again. */
const points = (count: number) =>
  Array.from({ length: count }, (_, i) => {
    const [N, P] = [2e8 + 1e8 * i, [1, 2, 4, 8][i % 4]!]
    return `${N},${P},${1 + (1e8 / (N * (0.5 * Math.log(P) + 1))) ** 0.3}`
  })
const good = `N,P,loss\n${points(12).join('\n')}\n`

describe('points of a law', () => {
  withBrowser('that are none: those before stay', slow, async () => {
    await studio.open('law')
    await give('Choose a file', file('good.csv', good))
    await page().getByText('12 points read.').waitFor()
    for (const [name, content, words] of [
      ['empty', '', /is empty; expected CSV with the columns N, P, loss/],
      ['columns', 'size,streams,value\n1,2,3\n', /line 1: no column 'N'; expected N, P, loss.*found size, streams, value/],
      ['no rows', 'N,P,loss\n', /has a header but no points/],
      ['numbers as words', 'N,P,loss\nmany,1,1.2\n', /line 2, column 1 \(N\): expected a number greater than 0, found "many"/],
      ['semicolons', 'N;P;loss\n1e8;1;1,2\n', /line 1: no column 'N'.*found N;P;loss/],
      ['NaN', 'N,P,loss\n1e8,1,NaN\n', /line 2, column 3 \(loss\): expected a number greater than 0, found "?NaN/],
      ['negative', 'N,P,loss\n1e8,1,-1.2\n', /line 2, column 3 \(loss\): expected a number greater than 0/],
      ['half a stream', 'N,P,loss\n1e8,1.5,1.2\n', /expected a whole number of streams/],
      ['cut', 'N,P,loss\n1e8,1,1.2\n2e8,1\n', /line 3: expected 3 columns as in the header, found 2/],
      ['twice', 'N,P,loss\n1e8,1,1.2\n1e8,1,1.3\n', /repeats N/],
      ['half JSON', '[{"N": 1e8, "P": 1', /is not valid JSON/],
      ['other JSON', '{"a": 1}', /expected an array of points/],
      ['a picture', png, /no column 'N'/],
      [
        'many',
        `N,P,loss\n${points(50_000).join('\n')}\n`,
        /has 50,000 points, and the page fits at most 2,000; from the command line: parscale fit/,
      ],
      [
        'long',
        'N,P,loss\n'.padEnd(8_000_001, '#'),
        /has 8\.0 MB; points of a law have some kilobytes, and at most 8\.0 MB are read here/,
      ],
    ] as const) {
      await give('Choose a file', file(`bad ${name}.csv`, content))
      await expect.poll(alerts, { timeout: 30_000, message: name }).toMatch(words)
      expect(await alerts(), name).toMatch(/bad .*The points before stay/)
      await page().getByText('12 points read.').waitFor()
    }
  })

  withBrowser('that are some, and unusual: a BOM, line ends of Windows, quotes, other columns, two thousand', slow, async () => {
    await studio.open('law')
    const body = points(12)
    for (const [content, count] of [
      [`\ufeff${good}`, 12],
      [good.replaceAll('\n', '\r\n'), 12],
      [`"Loss","p","n","note"\n${body.map((row) => `${row.split(',').reverse().join(',')},"x"`).join('\n')}`, 12],
      [
        JSON.stringify(
          body.map((row) => Object.fromEntries(row.split(',').map((cell, i) => [['N', 'P', 'loss'][i], Number(cell)]))),
        ),
        12,
      ],
      [`N,P,loss\n${points(2000).join('\n')}`, 2000],
    ] as const) {
      await give('Choose a file', file('mine.csv', content))
      await page().getByText(`${count} points read.`).waitFor()
      await page().locator('.answer').waitFor()
      expect(await alerts()).toBe('')
    }
  })

  withBrowser('that no law goes through: a sentence, and the published ones come back', slow, async () => {
    await studio.open('law')
    for (const [name, content] of [
      ['one', 'N,P,loss\n1e8,1,1.2\n'],
      ['two', 'N,P,loss\n1e8,1,1.2\n2e8,2,1.1\n'],
      ['one N', `N,P,loss\n${[1, 2, 3, 4, 5, 6].map((p) => `1e8,${p},${1.3 - 0.03 * p}`).join('\n')}`],
      ['one P', `N,P,loss\n${[1, 2, 3, 4, 5, 6].map((n) => `${n}e8,1,${1.3 - 0.03 * n}`).join('\n')}`],
      ['all alike', `N,P,loss\n${[1, 2, 3, 4, 5, 6].map((n) => `${n}e8,${n},1.2`).join('\n')}`],
      ['growing', `N,P,loss\n${[1, 2, 3, 4, 5, 6].map((n) => `${n}e8,${n},${n}`).join('\n')}`],
      ['extremes', `N,P,loss\n${[1, 2, 3, 4, 5, 6].map((n) => `1e${50 * n},${n},1e-${40 * n}`).join('\n')}`],
      ['many streams', `N,P,loss\n${[1, 2, 3, 4, 5, 6].map((n) => `${n}e8,${10 ** (2 * n)},${2 - 0.1 * n}`).join('\n')}`],
    ] as const) {
      await give('Choose a file', file(`${name}.csv`, content))
      await page()
        .getByText(`${content.trim().split('\n').length - 1} points read.`)
        .waitFor()
      await page().locator('.answer, [role="alert"]').first().waitFor()
      await page().waitForTimeout(500)
      const shown = await page().locator('main').innerText()
      expect(shown, name).not.toMatch(/NaN|undefined|could not be drawn/)
      await page().getByLabel('Points', { exact: true }).selectOption('pile')
      await page().locator('.answer').waitFor()
    }
  })
})

withBrowser('bench results that are none: the one before stays', slow, async () => {
  await studio.open('price')
  const recorded = readFileSync(new URL('../packages/parscale/src/testing/recorded-bench.json', import.meta.url), 'utf8')
  const bench = JSON.parse(recorded) as { machine: object; rows: object[] }
  const table = page().getByRole('region', { name: 'Measured beside computed' })
  await give('Choose a bench result', file('bench.json', recorded))
  await table.waitFor()
  for (const [content, words] of [
    ['', /it is empty/],
    ['<html>', /it is no JSON: it begins with "<html>"/],
    [recorded.slice(0, 200), /it is no JSON/],
    ['null', /no rows of a bench/],
    ['[]', /no rows of a bench/],
    ['{"rows": []}', /no rows of a bench/],
    [JSON.stringify({ ...bench, rows: [null] }), /row 1 has no number msPerToken/],
    [JSON.stringify({ ...bench, rows: [{ ...bench.rows[0], peakMemoryBytes: '1 GB' }] }), /row 1 has no number peakMemoryBytes/],
    [JSON.stringify({ rows: bench.rows }), /says nothing of the machine/],
  ] as const) {
    await give('Choose a bench result', file('bad.json', content))
    await expect.poll(alerts).toMatch(words)
    await says(/bad\.json is no result of a bench .* Make one: parscale bench .*The one before stays/)
    await table.waitFor()
  }
  // A machine that is only half described is not among the devices.
  await give(
    'Choose a bench result',
    file('half.json', JSON.stringify({ ...bench, machine: { cpu: 'some', device: { title: 7 } } })),
  )
  await page().getByText('some: computed is what').waitFor()
  await page().locator('.answer').waitFor()
})

withBrowser('run folders half written, and one that vanishes while it is looked at', slow, async () => {
  const runs = join(studio.folder, 'runs')
  const put = (name: string, files: Readonly<Record<string, string | Buffer>>) => {
    mkdirSync(join(runs, name), { recursive: true })
    for (const [path, content] of Object.entries(files)) writeFileSync(join(runs, name, path), content)
  }
  const metrics = '{"step":1,"kind":"train","loss":3}\n{"step":2,"kind":"train","loss":2.5}\n'
  put('empty', {})
  put('missing-config', { 'metrics.jsonl': metrics })
  put('half-config', { 'config.json': '{"recipe": "pretr', 'metrics.jsonl': metrics })
  put('page-config', { 'config.json': '<!doctype html>', 'metrics.jsonl': metrics })
  put('cut-line', { 'metrics.jsonl': `${metrics}{"step":3,"kind":"tr` })
  put('odd-lines', {
    'metrics.jsonl': `${metrics}null\n[]\n7\n"x"\n{"step":"3","kind":"train"}\n{"step":4,"kind":"streams","streamLosses":"abc","rho":{}}\n{"step":5,"kind":"train","loss":1e999}\n{"step":6,"kind":"alarm","message":{"a":1}}\n\0\0\0\n`,
    'samples.jsonl': '{"step":1,"text":"only a text"}\n{"text":7}\n',
  })
  put('binary', { 'config.json': png, 'metrics.jsonl': png })
  mkdirSync(join(runs, 'folders', 'metrics.jsonl'), { recursive: true })
  put('bad-sweep', { 'sweep.json': '{"name": ' })
  try {
    await studio.open('training')
    await page()
      .getByRole('row', { name: /missing-config/ })
      .waitFor()
    for (const name of ['missing-config', 'half-config', 'page-config', 'cut-line', 'odd-lines', 'binary']) {
      await page()
        .getByRole('row', { name: new RegExp(name) })
        .getByText(/config\.json/)
        .waitFor()
      const check = page().getByLabel(`Show ${name}`)
      if (!(await check.isChecked())) await check.check()
    }
    expect(
      await page()
        .getByRole('row', { name: /^empty/ })
        .count(),
    ).toBe(0)
    await page()
      .getByText(/4 runs side by side/)
      .waitFor()
    // The last four that were chosen are shown.
    for (const name of ['half-config', 'page-config', 'cut-line', 'binary']) {
      const check = page().getByLabel(`Show ${name}`)
      if (await check.isChecked()) await check.uncheck()
    }
    await page().getByRole('heading', { name: 'odd-lines' }).waitFor()
    await page().getByText('only a text').waitFor()
    expect(await page().locator('main').innerText()).not.toMatch(/undefined|NaN|\[object|could not be drawn/)
    renameSync(join(runs, 'odd-lines'), join(folder, 'gone'))
    await page().getByText('its folder is not there: it was removed, renamed or never begun').waitFor()
    await page().getByLabel('Show cut-line').check()
    await page()
      .getByText(/2 runs side by side/)
      .waitFor()
    // The whole folder of runs goes, and comes back.
    renameSync(runs, join(folder, 'all'))
    await page().getByText('There are none yet.').waitFor()
    renameSync(join(folder, 'all'), runs)
    await page()
      .getByRole('row', { name: /cut-line/ })
      .waitFor()
  } finally {
    rmSync(runs, { recursive: true, force: true })
  }
})

withBrowser('addresses that are cut, changed, of another version, endless, or no panel', slow, async () => {
  const made = 'prompt=The+people&p=8&seed=7&temperature=0.8&tokens=6&v=1'
  for (const [query, words] of [
    [made.replace('&v=1', ''), /its end is missing, so it was cut/],
    ['prompt=%E0%A4%A&p=8&seed=7&tok', /its end is missing/],
    [made.replace('v=1', 'v=99'), /made by another version/],
    [made.replace('tokens=6', 'tokens=1e99'), /tokens is “1e99” where a whole number from 1 to 10000/],
    [made.replace('p=8', 'p=3'), /has no P = 3: it has 1, 2, 4, 8/],
    [made.replace('p=8', 'p=-8'), /p is “-8”/],
    [made.replace('v=1', 'out=99999,x&v=1'), /out is “99999,x”/],
    [made.replace('v=1', 'changes=2-3.4-1&v=1'), /has no P = 3/],
    [`model=nobody&${made}`, /there is none that is called “nobody”/],
    [`${made}&${'x'.repeat(2000)}=1`, /“x{40}…” in it is nothing that this version knows/],
    [`prompt=${'long '.repeat(200_000)}&p=8&seed=7&tokens=6&v=1`, /its prompt has 1,000,000 characters where at most 20,000/],
    ['eyJwcm9tcHQiOiJ4In0=', /is nothing that this version knows/],
  ] as const) {
    await page().goto('about:blank')
    await studio.open(`play?${query}`)
    await says(/./)
    await expect.poll(alerts, { message: query.slice(0, 80) }).toMatch(words)
    await page()
      .getByRole('button', { name: /^Write/ })
      .waitFor()
    await studio.write(5)
    await studio.written(5)
  }
  // Script in it is text.
  const script = '<img src=x onerror="document.title=1"><script>document.title=1</script>'
  await page().goto('about:blank')
  await studio.open(`play?prompt=${encodeURIComponent(script)}&p=8&seed=7&tokens=4&v=1`)
  await studio.written(4)
  expect(await page().getByLabel('Prompt').inputValue()).toBe(script)
  expect(await page().title()).toContain('Playground')
  for (const name of ['nowhere', 'constructor', '__proto__', 'toString', 'law/../play', '%3Cscript%3E', 'x'.repeat(5000)]) {
    await page().goto('about:blank')
    await studio.open(name)
    await page().getByRole('heading', { name: 'There is no panel of this name' }).waitFor()
    await page().getByRole('link', { name: 'Law', exact: true }).click()
    await page().getByRole('heading', { name: 'The law' }).waitFor()
  }
})

const panels = ['guide', 'play', 'law', 'price', 'training', 'model'] as const
const html = (route: Route) => route.fulfill({ contentType: 'text/html', body: '<!doctype html><h1>A router says hello</h1>' })

describe('a server', () => {
  const asks = /\/(?:studio|v1|tokenize)(?:\/|$|\?)/
  withBrowser.each([
    ['with 500', (route: Route) => route.fulfill({ status: 500, body: 'oh no' }), /the server answered with 500/i],
    ['with a page', html, /something else/],
    ['with JSON of another program', (route: Route) => route.fulfill({ json: { hello: 1 } }), /something else/],
    ['not at all', (route: Route) => route.abort(), /the server does not answer/i],
  ] as const)('that answers %s: each panel says so, and works when it is itself again', slow, async (_, answer, words) => {
    for (const panel of panels) {
      await page().goto('about:blank')
      await page().route(asks, answer)
      await studio.open(panel)
      await expect.poll(async () => await page().locator('.shell').innerText()).toMatch(words)
      // Said where one looks, not at the side alone, in what needs the server.
      if (panel !== 'law' && panel !== 'price')
        await expect.poll(async () => await page().locator('main').innerText(), { message: panel }).toMatch(words)
      await page().unroute(asks)
      await page()
        .getByText(/the server answers/)
        .waitFor()
      if (panel === 'guide') await page().getByRole('button', { name: 'Begin' }).click()
      if (panel === 'play') {
        await studio.write(4)
        await studio.written(4)
      }
      if (panel === 'training') await page().getByText('There are none yet').waitFor()
      if (panel === 'model') await page().getByText('memory of a token').waitFor()
    }
  })

  withBrowser('that is slow: the frame is there, and the rest comes', slow, async () => {
    await page().route(asks, async (route) => {
      await new Promise((resolve) => setTimeout(resolve, 3000))
      await route.continue().catch(() => {})
    })
    for (const panel of panels) {
      await page().goto('about:blank')
      await page().goto(`${studio.url}/#/${panel}`)
      await page().locator('h1').first().waitFor()
      await page()
        .getByText(/looking for the server/)
        .waitFor()
      await page()
        .getByText(/the server answers/)
        .waitFor()
    }
    await page().unrouteAll({ behavior: 'ignoreErrors' })
  })

  withBrowser.each([
    ['cannot be fetched', (route: Route) => route.abort()],
    ['are a page', html],
    ['are 500', (route: Route) => route.fulfill({ status: 500, body: '' })],
  ] as const)("whose panels' files %s: a sentence, another try, and the other panels", slow, async (_, answer) => {
    for (const [panel, part] of [
      ['law', /\/law-(?!fits|mini)[\w-]+\.js/],
      ['price', /\/price-[\w-]+\.js/],
      ['training', /\/training-[\w-]+\.js/],
      ['model', /\/model-[\w-]+\.js/],
    ] as const) {
      await page().goto('about:blank')
      await page().route(part, answer)
      await page().goto(`${studio.url}/#/${panel}`)
      await says(/A part of this page could not be fetched: the server does not answer/)
      await page().unroute(part)
      await page().getByRole('link', { name: 'Guide', exact: true }).click()
      await page().getByRole('button', { name: 'Begin' }).waitFor()
      await page()
        .getByRole('link', { name: panel === 'law' ? 'Law' : `${panel[0]!.toUpperCase()}${panel.slice(1)}`, exact: true })
        .click()
      const again = page().getByRole('button', { name: 'Try again' })
      if ((await again.count()) > 0) await again.click().catch(() => {})
      await page().locator('.panel section, .panel .drop').first().waitFor()
    }
    complaints.length = 0
  })

  withBrowser.each([
    ['plan', 'price', /part of this page that plans could not be fetched/i],
    ['fit', 'law', /The part of this page that fits could not be fetched/],
  ] as const)('whose worker that %ss cannot be fetched', slow, async (worker, panel, words) => {
    const part = new RegExp(`/${worker}-worker-[\\w-]+\\.js`)
    await page().route(part, (route) => route.abort())
    await studio.open(panel)
    if (panel === 'law') await give('Choose a file', file('mine.csv', good))
    await says(words)
    await page().unroute(part)
    if (panel === 'law') await give('Choose a file', file('mine.csv', good))
    else
      await page()
        .getByLabel(/^Memory/)
        .press('ArrowRight')
    await page().locator('.answer').waitFor()
    if (panel === 'law') await page().getByText('12 points read.').waitFor()
  })

  withBrowser('that dies while each panel loads, and comes back', slow, async () => {
    const port = Number(new URL(studio.url).port)
    for (const panel of panels) {
      await page().goto('about:blank')
      // The program is there, and nothing that it asks for comes.
      await page().goto(`${studio.url}/#/nowhere`)
      await page().getByRole('heading', { name: 'There is no panel' }).waitFor()
      await studio.kill('SIGKILL')
      await page()
        .getByRole('link', {
          name: { guide: 'Guide', play: 'Playground', law: 'Law', price: 'Price', training: 'Training', model: 'Model' }[panel],
          exact: true,
        })
        .click()
      await page().locator('h1').first().waitFor()
      await page().waitForTimeout(1200)
      expect((await page().locator('main').innerText()).length).toBeGreaterThan(20)
      await studio.start(port)
      const again = page().getByRole('button', { name: 'Try again' })
      if ((await again.count()) > 0)
        await again
          .first()
          .click()
          .catch(() => {})
      await expect.poll(async () => (await page().locator('main').innerText()).length, { message: panel }).toBeGreaterThan(200)
      await expect.poll(() => page().getByText('could not be').count(), { message: panel }).toBe(0)
    }
    complaints.length = 0
  })
})

describe('a browser', () => {
  /** The page in another browser, with what it complains of. */
  const watched = async (context: BrowserContext) => {
    const other = await context.newPage()
    other.setDefaultTimeout(90_000)
    other.on('pageerror', (error) => complaints.push(String(error)))
    other.on('console', (message) => {
      if (message.type() === 'error' && !message.text().startsWith('Failed to load resource')) complaints.push(message.text())
    })
    const open = async (panel: string) => {
      await other.goto('about:blank')
      await other.goto(`${studio.url}/#/${panel}`)
      for (const early of ['.first', '.panel[aria-busy]']) await other.locator(early).first().waitFor({ state: 'detached' })
    }
    const run = async (words: RegExp) => {
      const bar = other.getByRole('group', { name: 'Where it runs' })
      await bar.getByRole('button', { name: 'Run it in this page' }).click()
      await bar.getByText(words).waitFor({ timeout: 200_000 })
    }
    const write = async () => {
      await other.getByRole('link', { name: 'Playground' }).click()
      await other.getByLabel('Tokens', { exact: true }).fill('4')
      await other.getByRole('button', { name: 'Write', exact: true }).click()
      await other.getByText(/^4 tokens, /).waitFor()
    }
    return { other, open, run, write }
  }

  withBrowser('without WebGPU: WASM runs where WebGPU was asked for, and that is said', slow, async () => {
    const bare = await chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-gpu'] })
    try {
      const { other, open, run, write } = await watched(await bare.newContext())
      await open('model')
      await other.getByRole('radiogroup', { name: 'Backend' }).getByText('WebGPU').click()
      await run(/^Runs in this page, without a server: WASM/)
      expect(await other.locator('main').innerText()).toMatch(/WebGPU .*(?:WASM|adapter|browser)/)
      await write()
    } finally {
      await bare.close()
    }
  })

  withBrowser('that lets a page keep nothing: all panels open, and a model runs', slow, async () => {
    // As its settings do it: every store of the page refuses, in workers too.
    const profile = mkdtempSync(join(folder, 'profile-'))
    mkdirSync(join(profile, 'Default'))
    const settings = { profile: { default_content_setting_values: { cookies: 2 } } }
    writeFileSync(join(profile, 'Default', 'Preferences'), JSON.stringify(settings))
    const context = await launchProfile(profile)
    try {
      const { other, open, run, write } = await watched(context)
      await open('guide')
      const refused = await other.evaluate(`(async () => {
        const tried = [() => localStorage.length, () => navigator.storage.getDirectory()]
        return await Promise.all(tried.map(async (one) => { try { await one(); return '' } catch (error) { return error.name } }))
      })()`)
      expect(refused).toEqual(['SecurityError', 'SecurityError'])
      for (const panel of panels) {
        await open(panel)
        expect((await other.locator('main').innerText()).length).toBeGreaterThan(60)
      }
      await other.getByLabel('Colours').selectOption('dark')
      await run(/^Runs in this page, without a server/)
      expect(await other.locator('main').innerText()).toMatch(/The model is not kept: this browser gives the page no file system/)
      await write()
      await other.getByRole('button', { name: 'Link to this trace' }).click()
      await other.getByText(/address bar/).waitFor()
    } finally {
      await context.close()
    }
  })

  withBrowser('whose storage is full: the model runs, is not kept, and that is said', slow, async () => {
    const session = await page().context().newCDPSession(page())
    await session.send('Storage.overrideQuotaForOrigin', { origin: studio.url, quotaSize: 20_000 })
    await studio.open('model')
    await where().getByRole('button', { name: 'Run it in this page' }).click()
    await where()
      .getByText(/^Runs in this page, without a server/)
      .waitFor({ timeout: 200_000 })
    await page()
      .getByText(/The model is not kept: the browser’s storage is full.*delete a kept model/)
      .waitFor()
    await page().getByRole('link', { name: 'Playground' }).click()
    await studio.write(4)
    await studio.written(4)
  })
})
