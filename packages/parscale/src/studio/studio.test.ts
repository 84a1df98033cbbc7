/** What the page asks of its server, with the model that ships: without a browser, and without the page's build. */
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { createServerApp, ModelRegistry } from '@parscale/core/internal/server'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { loadTextModel } from '../load/load.ts'
import { shippedModel } from '../package-files.ts'
import type { Beside } from '../serve/serve.ts'
import { exportedInfo, isExport } from './export-studio.ts'
import { modelFiles } from './model-files.ts'
import { contentPolicy } from './pages.ts'
import { RunList, RunReader } from './runs.ts'
import { info, studioBeside } from './studio-app.ts'
import { record } from './traces.ts'
import { documentsOf, Trainings } from './trainings.ts'

const folder = mkdtempSync(join(tmpdir(), 'parscale-studio-'))
const runs = join(folder, 'runs')
let registry: ModelRegistry
let beside: Beside
let fetch: (path: string, init?: RequestInit) => Promise<Response>
beforeAll(async () => {
  const models = [{ id: 'small', model: shippedModel }]
  registry = new ModelRegistry([{ id: 'small', load: () => loadTextModel(shippedModel, { threads: 1 }) }])
  await registry.load('small')
  beside = studioBeside(registry, { models, load: { threads: 1 }, runs, dropped: join(folder, 'dropped'), env: process.env })
  const app = createServerApp({ registry, otherwise: beside.answer, hosts: ['localhost'] })
  fetch = async (path, init) =>
    app.fetch(new Request(`http://localhost${path}`, { ...init, headers: { host: 'localhost', ...init?.headers } }))
})
afterAll(async () => {
  beside.close()
  await registry.close()
  rmSync(folder, { recursive: true })
})
const post = (path: string, body: unknown) =>
  fetch(path, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) })
const message = async (response: Response) => ((await response.json()) as { error: { message: string } }).error.message

describe('what is there', () => {
  it('says which models there are, and what they can', async () => {
    const about = (await (await fetch('/studio/info.json')).json()) as { models: { id: string; p: number[]; state: string }[] }
    expect(about.models).toMatchObject([{ id: 'small', p: [1, 2, 4, 8], state: 'ready', chat: false }])
  })

  it('answers nobody who comes by another name or from another page, and knows no other paths', async () => {
    expect((await fetch('/studio/info.json', { headers: { host: 'evil.example' } })).status).toBe(403)
    expect((await fetch('/studio/runs', { headers: { origin: 'https://evil.example' } })).status).toBe(403)
    expect((await fetch('/studio/nothing')).status).toBe(404)
    expect((await fetch('/studio/model/..%2F..%2Fpackage.json')).status).toBe(404)
    expect((await fetch('/studio/model/README.md')).status).toBe(404)
    expect((await fetch('/studio/model/%E0%A4%A')).status).toBe(404)
  })

  it("hands out the model's files, whole and in ranges", async () => {
    const list = (await (await fetch('/studio/model/files.json')).json()) as { path: string; size: number }[]
    expect(list.map(({ path }) => path)).toContain('streams/p8/model.safetensors')
    const { size } = list.find(({ path }) => path === 'model.safetensors')!
    const part = await fetch('/studio/model/model.safetensors', { headers: { range: 'bytes=0-7' } })
    expect([part.status, part.headers.get('content-range'), (await part.arrayBuffer()).byteLength]).toEqual([
      206,
      `bytes 0-7/${size}`,
      8,
    ])
  })

  it('tells a file that was changed from the one before, as pages keep them', async () => {
    const model = join(folder, 'changing')
    mkdirSync(model)
    const tag = async () => (await modelFiles(model).list())[0]!.tag
    writeFileSync(join(model, 'config.json'), '{}')
    const before = await tag()
    expect(await tag()).toBe(before)
    writeFileSync(join(model, 'config.json'), '[]')
    utimesSync(join(model, 'config.json'), 1, 1)
    expect(await tag()).not.toBe(before)
  })

  it('passes over links to nowhere below a model', async () => {
    const model = join(folder, 'linked')
    mkdirSync(join(model, 'streams'), { recursive: true })
    writeFileSync(join(model, 'config.json'), '{}')
    symlinkSync(join(model, 'gone'), join(model, 'streams/model.safetensors'))
    expect(await modelFiles(model).list()).toMatchObject([{ path: 'config.json', size: 2 }])
  })

  it('writes an export over an export only, and keeps paths of this disk to itself', async () => {
    const page = join(folder, 'page')
    mkdirSync(join(page, 'studio'), { recursive: true })
    writeFileSync(join(page, 'index.html'), '<p>of somebody else')
    expect(await isExport(page)).toBe(false)
    const about = exportedInfo(info(registry, { models: [{ id: 'small', model: shippedModel }], runs: '' }))
    expect(about.models).toMatchObject([{ id: 'small', path: null }])
    writeFileSync(join(page, 'studio/info.json'), JSON.stringify(about))
    expect(await isExport(page)).toBe(true)
  })

  it('allows the page nothing from elsewhere', () => {
    expect(contentPolicy).not.toMatch(/unsafe-inline|'unsafe-eval'|https?:|\*/)
  })
})

describe('traces', () => {
  it('tells of each token its id, weights and choices, and leaves streams out', async () => {
    const traces = await record(fetch, { id: 'small', p: [1, 2] }, new AbortController().signal)
    expect(traces.map(({ p, without }) => [p, ...without])).toEqual([[1], [2], [2, 0], [2, 1], [1], [2]])
    type Data = { choices: { parscale?: { token_ids: number[]; streams: number[][]; stream_choices: { id: number }[][] } }[] }
    for (const { p, without, events } of traces) {
      const streams = events.flatMap(({ data }) => (data as Data).choices[0]?.parscale ?? [])
      expect(streams.flatMap(({ token_ids }) => token_ids).length).toBeGreaterThan(8)
      for (const { streams: weights, stream_choices } of streams)
        for (const [i, each] of weights.entries()) {
          expect(each).toHaveLength(p)
          expect(stream_choices[i]).toHaveLength(p)
          for (const out of without) expect(each[out]).toBe(0)
        }
    }
  })

  it('refuses streams that there are not, before anything is written', async () => {
    const response = await post('/v1/completions', {
      model: 'small',
      prompt: 'The',
      parscale: { p: 2, without: [2] },
      stream: true,
    })
    expect(response.status).toBe(400)
    expect(await message(response)).toMatch(/parscale.without: there is no stream 2; with P = 2 they are 0 to 1/)
  })
})

describe('runs', () => {
  const metrics = (name: string, text: string) => {
    mkdirSync(join(runs, name), { recursive: true })
    writeFileSync(join(runs, name, 'metrics.jsonl'), text)
  }

  it('reads what was added, waits for half a line, and begins anew where a run went back', async () => {
    metrics('half', '{"step":1,"kind":"train","loss":3}\n{"step":2,"ki')
    const reader = new RunReader(join(runs, 'half'))
    expect((await reader.news()).records).toEqual([{ step: 1, kind: 'train', loss: 3 }])
    expect((await reader.news()).records).toEqual([])
    metrics('half', '{"step":1,"kind":"train","loss":3}\n{"step":2,"kind":"train","loss":2}\n')
    expect((await reader.news()).records).toEqual([{ step: 2, kind: 'train', loss: 2 }])
    metrics('half', '{"step":1,"kind":"train","loss":4}\n')
    expect(await reader.news()).toMatchObject({ reset: true, records: [{ loss: 4 }] })
  })

  it('says what is wrong with a folder that is half written, and passes over what is none', async () => {
    mkdirSync(join(runs, 'texts'), { recursive: true })
    const found = await new RunList(runs).list(new Set())
    expect(found.map(({ name }) => name)).toEqual(['half'])
    expect(found[0]).toMatchObject({ state: 'damaged', problem: expect.stringMatching(/config\.json cannot be read/) })
  })

  it('tells of several runs in one stream: what there is, then what is added', async () => {
    metrics('half', '{"step":1,"kind":"train","loss":3}\n')
    metrics('other', '{"step":5,"kind":"train","loss":2}\n')
    expect((await fetch('/studio/runs/events?run=..%2Fup')).status).toBe(400)
    const left = new AbortController()
    const response = await fetch('/studio/runs/events?run=half&run=other', { signal: left.signal })
    const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader()
    const next = async () => JSON.parse((await reader.read()).value!.replace(/^data: /, ''))
    const first = await next()
    expect(first.runs.map(({ name }: { name: string }) => name).sort()).toEqual(['half', 'other'])
    expect(first.news).toMatchObject([
      { name: 'half', records: [{ step: 1 }] },
      { name: 'other', records: [{ step: 5 }] },
    ])
    appendFileSync(join(runs, 'other', 'metrics.jsonl'), '{"step":6,"kind":"train","loss":1}\n')
    expect((await next()).news).toMatchObject([{ name: 'other', reset: false, records: [{ step: 6 }] }])
    left.abort()
    await reader.cancel()
    rmSync(join(runs, 'other'), { recursive: true })
  })

  it('refuses trainings with a reason', async () => {
    const asked = { name: 'mine', model: 'small', text: 'short', p: 2, steps: 5 }
    expect(await message(await post('/studio/runs', asked))).toMatch(/5 characters; streams need at least 2000/)
    expect(await message(await post('/studio/runs', { ...asked, name: '../up' }))).toMatch(/a run's name has letters/)
    expect(await message(await post('/studio/runs', { ...asked, p: 1 }))).toMatch(/p: /)
    expect(await message(await post('/studio/runs/mine/stop', {}))).toMatch(/not trained by this studio/)
  })
})

describe('trainings', () => {
  it('cuts any text into documents, and loses no word', () => {
    const words = Array.from({ length: 500 }, (_, i) => `word${i}`)
    const texts = [words.join(' '), words.join('\r\n'), words.slice(0, 60).join('\r\n\r\n'), words.join(' ').repeat(9)]
    for (const text of texts) {
      const documents = documentsOf(text).split('\n\n')
      expect(documents.length).toBeGreaterThanOrEqual(40)
      expect(documents.join(' ')).not.toContain('\r')
      expect(documents.join(' ').split(/\s+/)).toEqual(text.split(/\s+/))
    }
    expect(documentsOf('\u{1f600}'.repeat(1001))).not.toMatch(/\p{Surrogate}/u)
  })

  it('starts one of two that are asked for at once, and stops with a checkpoint where its parent lets go', async () => {
    const text = Array.from({ length: 400 }, (_, i) => `The ${i}th house of the town has ${i + 3} windows.`).join('\r\n')
    const trainings = new Trainings(runs, process.env)
    const start = (name: string) => trainings.start({ name, model: shippedModel, text, p: 2, steps: 5000 })
    const [first, second] = await Promise.allSettled([start('one'), start('two')])
    expect([first.status, second.status]).toEqual(['fulfilled', 'rejected'])
    const about = () => trainings.about('one')!
    const step = async () => Math.max(0, ...(await new RunReader(join(runs, 'one')).news()).records.map((each) => each.step))
    await expect.poll(async () => (await step()) >= 2 || about().code !== undefined).toBe(true)
    expect(about().code, about().said).toBeUndefined()
    // One list, asked again and again, keeps up with what is written.
    const list = new RunList(runs)
    const listed = async (ours: string[]) => (await list.list(new Set(ours))).find(({ name }) => name === 'one')!
    expect(await listed(['one'])).toMatchObject({ state: 'running', p: 2, steps: 5000, problem: null })
    const before = (await listed(['one'])).step
    await expect.poll(async () => (await listed(['one'])).step).toBeGreaterThan(before)
    trainings.close()
    await expect.poll(() => about().code).toBe(130)
    expect((await listed(['one'])).step).toBe(await step())
    const saved = readdirSync(join(runs, 'one', 'checkpoints')).join()
    expect(saved).toContain(String(await step()))
    rmSync(join(runs, 'one'), { recursive: true })
  })
})

it('diagnoses a text', async () => {
  const text = 'The people of the United States and their Congress have a work of peace before them.'
  const response = await post('/studio/diagnose', { model: 'small', text, p: 2 })
  expect(await response.json()).toMatchObject({ p: 2, cut: null, losses: { streams: [{}, {}], withoutStream: [{}, {}] } })
  expect(await message(await post('/studio/diagnose', { model: 'small', text: 'a', p: 2 }))).toMatch(/needs at least 3/)
})

it('takes a model that is dropped, file by file, and says what is none', async () => {
  const put = (path: string, body: BodyInit) =>
    fetch(`/studio/models/${path}`, { method: 'PUT', body, duplex: 'half' } as RequestInit)
  const begin = async (bytes = 34) => await post('/studio/models', { name: 'mine', bytes })
  expect(await message(await begin(1e15))).toMatch(/1000000\.0 GB, and .* free: it does not fit/)
  expect((await put('mine/model.gguf', 'for nobody')).status).toBe(400)
  // Two of one name do not share a folder.
  const names = await Promise.all([begin(), begin()].map(async (each) => ((await (await each).json()) as { name: string }).name))
  expect(names.sort()).toEqual(['mine', 'mine-2'])
  expect((await put('mine/model.gguf', 'no model at all, whatever its name')).status).toBe(200)
  const response = await post('/studio/models/mine/load', {})
  expect(response.status).toBe(400)
  expect(await message(response)).toMatch(/model\.gguf/)
  expect(registry.statuses.map(({ id }) => id)).toEqual(['small'])
  expect(existsSync(join(folder, 'dropped', 'mine'))).toBe(false)
})
