/** Splits of data sets from files and from a hub on localhost: which Parquet files are taken, and what is said when there are none. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, afterEach, describe, expect, it } from 'vitest'
import { splitFiles } from '../hub/pull-dataset.ts'
import { type HubServer, startHubServer } from '../hub/testing/hub-server.ts'
import { DataSets } from './data-sets.ts'
import { findTasks } from './task-folder.ts'

const folder = mkdtempSync(join(tmpdir(), 'parscale-data-'))
const hubs: HubServer[] = []
afterEach(() => Promise.all(hubs.splice(0).map((hub) => hub.close())))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const data = (name: string) =>
  new Uint8Array(readFileSync(fileURLToPath(new URL(`../../../../fixtures/data/${name}`, import.meta.url))))
const { texts } = JSON.parse(Buffer.from(data('parquet.json')).toString('utf8')) as { texts: string[] }
const commit = (digit: string) => digit.repeat(40)

let written = 0
/** A task whose data set is as given. */
async function taskOf(fields: string) {
  const path = join(folder, `task-${written++}.yaml`)
  writeFileSync(path, `task: t\noutput_type: loglikelihood_rolling\ndoc_to_target: text\ntest_split: test\n${fields}\n`)
  return (await findTasks([path])).tasks[0]!
}

async function hubOf(repos: Parameters<typeof startHubServer>[0]['repos']) {
  const hub = await startHubServer({ repos })
  hubs.push(hub)
  return { endpoint: hub.url, cacheDirectory: join(folder, `cache-${written++}`), env: {}, retry: { attempts: 1 }, hub }
}

describe('data sets of the hub', () => {
  const files = {
    'main/test-00000-of-00001.parquet': data('texts-snappy.parquet'),
    'README.md': new Uint8Array(),
    'run.py': new Uint8Array(3),
  }

  it('come as the Parquet files of their repository, once, and offline from the cache', async () => {
    const { hub, ...options } = await hubOf({ 'datasets/org/set': { commit: commit('a'), files } })
    const sets = new DataSets(options)
    const task = await taskOf('dataset_path: org/set\ndataset_name: main')
    expect((await sets.split(task, 'test')).map(({ text }) => text)).toEqual(texts)
    expect(sets.revisions.get('org/set')).toBe(commit('a'))
    await sets.split(task, 'test')
    expect(hub.requests.map(({ url }) => url).filter((url) => url.includes('.py'))).toEqual([])
    const asked = hub.requests.length
    expect(await new DataSets({ ...options, offline: true }).split(task, 'test')).toHaveLength(texts.length)
    expect(hub.requests).toHaveLength(asked)
  })

  it("come from the hub's conversion where there are none", async () => {
    const converted = { commit: commit('b'), files: { 'main/test/0000.parquet': data('texts-zstd.parquet') } }
    const { hub: _, ...options } = await hubOf({
      'datasets/org/set': {
        commit: commit('a'),
        files: { 'test.csv': new Uint8Array(1) },
        revisions: { 'refs/convert/parquet': converted },
      },
    })
    const sets = new DataSets(options)
    expect(await sets.split(await taskOf('dataset_path: org/set\ndataset_name: main'), 'test')).toHaveLength(texts.length)
    expect(sets.revisions.get('org/set')).toBe(commit('b'))
  })

  it('name what is missing: the split, the hub', async () => {
    const { hub, ...options } = await hubOf({
      'datasets/org/set': {
        commit: commit('a'),
        files,
        revisions: { 'refs/convert/parquet': { commit: commit('b'), files: {} } },
      },
    })
    const task = await taskOf('dataset_path: org/set\ndataset_name: other')
    await expect(new DataSets(options).split(task, 'test')).rejects.toThrow(
      'org/set: no Parquet files of configuration "other", split "test"; there are "main/test-00000-of-00001.parquet"',
    )
    await expect(new DataSets(options).split(await taskOf('dataset_path: org/none'), 'test')).rejects.toThrow(
      'org/none: no such data set',
    )
    await hub.close()
    hubs.length = 0
    await expect(new DataSets(options).split(task, 'test')).rejects.toThrow('no connection')
  })

  it.each([
    [['data/test-00000-of-00002.parquet', 'data/test-00001-of-00002.parquet', 'data/train-00000-of-00001.parquet'], undefined, 2],
    [['a/test-00000-of-00001.parquet', 'b/test-00000-of-00001.parquet'], 'b', 1],
    [['a/test/0000.parquet', 'a/test/0001.parquet', 'a/train/0000.parquet'], 'a', 2],
    [['test.parquet'], undefined, 1],
    [['a/test.parquet'], 'b', 0],
    [['a/mytest-00000-of-00001.parquet'], 'a', 0],
  ])('of %j, %s: %i files', (paths, name, count) => {
    const listed = paths.map((path) => ({ path, metadata: undefined }))
    expect(splitFiles(listed, { name, split: 'test' })).toHaveLength(count)
  })
})

describe('local data', () => {
  const sets = (local?: ReadonlyMap<string, string>) => new DataSets({ env: {}, local })

  it('is JSON lines with the same columns in each row, JSON with a field, or text', async () => {
    writeFileSync(join(folder, 'rows.jsonl'), '{"text":"a"}\n\n{"text":"b","n":1}\n')
    writeFileSync(join(folder, 'rows.json'), '{"data":[{"text":"c"}]}')
    writeFileSync(join(folder, 'rows.txt'), 'one\ntwo\n')
    const files = (name: string, rest = '') =>
      taskOf(
        `dataset_path: ${rest === 'text' ? 'text' : 'json'}\ndataset_kwargs:\n  data_files:\n    test: ${name}\n${rest === 'field' ? '  field: data\n' : ''}`,
      )
    expect(await sets().split(await files('rows.jsonl'), 'test')).toEqual([
      { text: 'a', n: null },
      { text: 'b', n: 1 },
    ])
    expect(await sets().split(await files('rows.json', 'field'), 'test')).toEqual([{ text: 'c' }])
    expect(await sets().split(await files('rows.txt', 'text'), 'test')).toEqual([{ text: 'one' }, { text: 'two' }])
    await expect(sets().split(await files('rows.jsonl'), 'train')).rejects.toThrow(
      't: dataset_kwargs.data_files has no split train, but test',
    )
  })

  it('takes the place of a data set: a file, or a folder with a file for each split', async () => {
    const task = await taskOf('dataset_path: org/set')
    writeFileSync(join(folder, 'test.jsonl'), '{"text":"x"}\n')
    expect(await sets(new Map([['t', join(folder, 'test.jsonl')]])).split(task, 'anything')).toEqual([{ text: 'x' }])
    expect(await sets(new Map([['org/set', folder]])).split(task, 'test')).toEqual([{ text: 'x' }])
    await expect(sets(new Map([['t', folder]])).split(task, 'train')).rejects.toThrow('has no split train; expected train.jsonl')
    await expect(sets(new Map([['t', join(folder, 'no')]])).split(task, 'test')).rejects.toThrow('t: data')
  })

  it('says which line is wrong', async () => {
    writeFileSync(join(folder, 'bad.jsonl'), '{"text":"a"}\n{"text":\n')
    const path = join(folder, 'bad.jsonl')
    await expect(sets(new Map([['t', path]])).split(await taskOf(''), 'test')).rejects.toThrow(`${path}, line 2: is no JSON`)
    writeFileSync(path, '[1]\n')
    await expect(sets(new Map([['t', path]])).split(await taskOf(''), 'test')).rejects.toThrow('entry 1: expected an object')
  })
})
