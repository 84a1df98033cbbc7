/** `parscale eval` as a whole on the shipped model: tables, files, a picture, and what a card says of them. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { parse } from 'yaml'
import { fixtureFolder } from '../evaluate/testing/peer-runs.ts'
import { readEvalResults } from '../export/eval-results.ts'
import { modelCard } from '../export/model-card.ts'
import { runSummary } from '../export/testing/run-summary.ts'
import { parscale } from '../testing/cli.ts'

const out = mkdtempSync(join(tmpdir(), 'parscale-eval-'))
const tasks = ['questions', 'pages'].map((name) => `${fixtureFolder}${name}.yaml`).join(',')
let run: Awaited<ReturnType<typeof parscale>>
beforeAll(async () => {
  const plot = join(out, 'tasks.svg')
  run = await parscale([
    'eval',
    '--tasks',
    tasks,
    '--p',
    '1,2',
    '--limit',
    '6',
    '--out',
    join(out, 'eval'),
    '--plot',
    plot,
    '--diagnose',
  ])
})
afterAll(() => rmSync(out, { recursive: true }))

it('prints tables of tasks, of pairs and of streams', () => {
  expect(run.stderr).toBe(`drawn into ${join(out, 'tasks.svg')}\n`)
  expect(run.code).toBe(0)
  expect(run.stdout).toMatch(/^\|Tasks +\| {2}P\|Version\|/)
  expect(run.stdout).toMatch(/\|local_questions\|none +\|acc +\|1 -> 2 *\|/)
  expect(run.stdout).toMatch(/\|Tasks +\| +P\|tokens\| +rho\|/)
  expect(run.stdout).toMatch(/^\|local_questions\| +2\| +\d+\|/m)
  expect(readFileSync(join(out, 'eval', 'table.md'), 'utf8')).toBe(run.stdout)
  const streams = JSON.parse(readFileSync(join(out, 'eval', 'streams.json'), 'utf8'))
  expect(streams.map(({ task, p }: { task: string; p: number }) => [task, p])).toEqual([
    ['local_questions', 2],
    ['local_pages', 2],
  ])
})

it('draws a panel for each task', () => {
  const svg = readFileSync(join(out, 'tasks.svg'), 'utf8')
  for (const text of ['local_questions', 'local_pages', '95 % interval']) expect(svg).toContain(text)
})

it('gives figures to a card: its table and its model-index', async () => {
  const found = await readEvalResults(join(out, 'eval'))
  expect(found.map(({ task, p, metric }) => `${task} ${p} ${metric}`)).toEqual(
    [1, 2].flatMap((p) => [
      `local_questions ${p} acc`,
      `local_questions ${p} acc_norm`,
      `local_pages ${p} word_perplexity`,
      `local_pages ${p} byte_perplexity`,
      `local_pages ${p} bits_per_byte`,
    ]),
  )
  const [, front] = /^---\n([\s\S]*?\n)---\n/.exec(modelCard({ ...runSummary('hello'), results: [], tasks: found }))!
  const [index] = parse(front!)['model-index']
  expect(index.results).toHaveLength(found.length)
  expect(index.results[0]).toEqual({
    task: { type: 'text-generation', name: 'local_questions' },
    dataset: { name: 'local_questions', type: 'json', split: 'test' },
    metrics: [{ type: 'acc', name: 'acc, 3-shot, P = 1', value: found[0]!.value }],
  })
})

it('refuses a folder without results', async () => {
  await expect(readEvalResults(out)).rejects.toThrow(`--results ${out}: holds no results of parscale eval`)
})
