import { describe, expect, it } from 'vitest'
import { overrideGeneration, parseGenerationKwargs } from './config.ts'
import { taskFilters } from './filters.ts'
import { taskMetrics } from './metrics.ts'
import { PythonRandom } from './python/random.ts'
import { buildTask } from './requests.ts'
import { createSampler } from './sampler.ts'
import { indexTaskFiles, selectTasks, type TaskFiles } from './task-files.ts'

/** Files by their paths; all lie in one folder. */
function filesOf(texts: Readonly<Record<string, string>>): TaskFiles {
  return {
    read: async (path) => texts[path] ?? Promise.reject(new Error(`no file ${path}`)),
    resolve: (_, path) => path,
  }
}

async function tasksOf(texts: Readonly<Record<string, string>>, names: readonly string[]) {
  return selectTasks(
    await indexTaskFiles(
      filesOf(texts),
      Object.keys(texts).filter((path) => !path.startsWith('_')),
    ),
    names,
  )
}

const minimal = 'task: t\noutput_type: multiple_choice\ntest_split: test\ndoc_to_text: q\ndoc_to_target: a\ndoc_to_choice: c\n'
const oneTask = async (text: string) => (await tasksOf({ 'a.yaml': text }, ['t'])).tasks[0]!

describe('task files', () => {
  it('are merged with what they include, own fields first', async () => {
    const { tasks } = await tasksOf(
      { '_base.yaml': `${minimal}num_fewshot: 5\ntag: some\n`, 'a.yaml': 'include: _base.yaml\ntask: u\nnum_fewshot: 2\n' },
      ['u'],
    )
    expect(tasks[0]).toMatchObject({
      task: 'u',
      numFewshot: 2,
      outputType: 'multiple_choice',
      tags: ['some'],
      targetDelimiter: ' ',
    })
  })

  it('are read as PyYAML reads them', async () => {
    const { raw } = await oneTask(`${minimal}metadata:\n  version: 1.0\n  list: [y, n, yes, No, on, 010, 1_000, "1", ~]\n`)
    // python3 -c 'import yaml; print(yaml.safe_load("[y, n, yes, No, on, 010, 1_000, \\"1\\", ~]"))'
    expect(raw.metadata!.list).toEqual(['y', 'n', true, false, true, 8, 1000, '1', null])
  })

  it('are found by group, by tag and by themselves, each task once', async () => {
    const texts = {
      '_base.yaml': minimal,
      'g.yaml':
        'group: g\ntask:\n  - x\n  - task: y\n    include: _base.yaml\n    num_fewshot: 3\naggregate_metric_list:\n  - metric: acc\n',
      'x.yaml': minimal.replace('task: t', 'task: x\ntag: marked'),
    }
    const { tasks, groups } = await tasksOf(texts, ['g', 'marked', 'y'])
    expect(tasks.map(({ task, numFewshot }) => [task, numFewshot])).toEqual([
      ['x', undefined],
      ['y', 3],
    ])
    expect(groups).toMatchObject([{ name: 'g', members: ['x', 'y'], aggregates: [{ metric: 'acc', bySize: true }] }])
  })

  it.each([
    ['process_docs: !function utils.clean', 'a.yaml: process_docs: !function utils.clean is Python'],
    ['metric_list:\n  - metric: !function m.own', 'a.yaml: metric_list.0.metric: !function m.own is Python'],
    ['colour: red', 'a.yaml: unknown field colour'],
    ['fewshot_config:\n  colour: red', 'fewshot_config: unknown field colour'],
    ['fewshot_config:\n  sampler: balanced', 'fewshot_config.sampler: balanced is not supported'],
    ['doc_to_image: picture', 'a.yaml: doc_to_image is not supported: models here read text only'],
    ['class: Own', 'a.yaml: class is not supported'],
    ['unsafe_code: true', 'unsafe_code is not supported'],
    ['num_fewshot: many', 'a.yaml: num_fewshot:'],
    ['repeats: 0', 'a.yaml: repeats:'],
    ['generation_kwargs:\n  num_beams: 4', 'generation_kwargs: unknown field num_beams'],
    ['process_results: !builtin nothing', undefined],
  ])('are refused by file and field: %s', async (line, message) => {
    const text = minimal + line
    if (message) await expect(oneTask(text)).rejects.toThrow(message)
    else {
      const task = await oneTask(text)
      expect(() => buildTask(task, { questions: [], examples: [] })).toThrow('t: its data set has no questions')
    }
  })

  it.each([
    ['output_type: best_of', 'a.yaml: output_type:'],
    ['doc_to_choice: ', 'doc_to_choice is missing, which output_type multiple_choice needs'],
    ['doc_to_text: ', 'doc_to_text is missing'],
  ])('are refused where %s', async (line, message) => {
    const [field] = line.split(':')
    const text = minimal.replace(new RegExp(`^${field}:.*$`, 'm'), line)
    await expect(oneTask(text)).rejects.toThrow(message)
  })

  it.each([
    ['a: [', 'is no YAML'],
    ['- a list', 'expected a mapping of fields'],
    ['include: a.yaml', 'include'],
  ])('say what is wrong with %s', async (text, message) => {
    await expect(tasksOf({ 'a.yaml': text }, ['t'])).rejects.toThrow(message)
  })

  it('name those that there are', async () => {
    await expect(tasksOf({ 'a.yaml': minimal }, ['missing'])).rejects.toThrow('there is no task "missing"; there are t,')
  })

  it('may name filters and metrics that there are, with their options', async () => {
    const filters = (step: string) =>
      oneTask(`${minimal}filter_list:\n  - name: n\n    filter:\n      - ${step}\n`).then(taskFilters)
    await expect(filters('{ function: guess }')).rejects.toThrow('a.yaml: filter_list, n: the filter guess is not supported')
    await expect(filters('{ function: regex, regex_patern: a }')).rejects.toThrow('regex has no option regex_patern')
    await expect(filters('{ function: regex, regex_pattern: "(" }')).rejects.toThrow('a.yaml: filter_list, n: regex:')
    const metrics = (list: string) => oneTask(`${minimal}metric_list: ${list}\n`).then(taskMetrics)
    await expect(metrics('[{ metric: bleu }]')).rejects.toThrow('metric_list: bleu is not supported for multiple_choice')
    await expect(filters('{ function: custom, filter_fn: guess }')).rejects.toThrow('custom: filter_fn must be !builtin NAME')
    await expect(filters('{ function: custom, filter_fn: !builtin guess }')).rejects.toThrow(
      'there is no !builtin guess; there are',
    )
    await expect(metrics('[{ metric: acc, aggregation: guess }]')).rejects.toThrow('the aggregation guess is not supported')
  })
})

describe('tasks that write programs', () => {
  const code = 'task: t\noutput_type: generate_until\ntest_split: test\ndoc_to_text: q\ndoc_to_target: a\n'
  const metricsOf = (list: string, more = '') => oneTask(`${code}metric_list: ${list}\n${more}`).then(taskMetrics)

  it("have figures by the harness' names", async () => {
    const names = async (list: string, more = '') => (await metricsOf(list, more)).map(({ name, k }) => [name, k])
    expect(await names('[{ metric: pass_at_1 }]')).toEqual([['pass_at_1', 1]])
    expect(await names('[{ metric: pass_at_k, k: 1 }]')).toEqual([['pass@1', 1]])
    expect(await names('[{ metric: pass_at_k, k: [1, 5] }]', 'repeats: 5\n')).toEqual([
      ['pass@1', 1],
      ['pass@5', 5],
    ])
  })

  it.each([
    ['[{ metric: pass_at_k }]', 'a.yaml: metric_list: pass_at_k: k: expected a whole number above 0'],
    ['[{ metric: pass_at_k, k: [0] }]', 'pass_at_k: k: expected a whole number above 0'],
    ['[{ metric: pass_at_k, k: [2] }]', 'k = 2 needs as many programs of each problem, repeats is 1'],
    ['[{ metric: pass_at_k, k: 1, timeout: 3 }]', 'pass_at_k: the option timeout is not supported'],
    ['[{ metric: pass_at_1, aggregation: median }]', 'another aggregation than mean is not supported'],
    ['[{ metric: pass_at_1 }, { metric: exact_match }]', 'exact_match: cannot stand beside pass_at_1'],
  ])('are refused by file and field: %s', async (list, message) => {
    await expect(metricsOf(list)).rejects.toThrow(message)
  })

  it('have one filter, and no other kind of output', async () => {
    const two =
      'filter_list:\n  - { name: a, filter: [{ function: lowercase }] }\n  - { name: b, filter: [{ function: uppercase }] }\n'
    const task = await oneTask(`${code}metric_list: [{ metric: pass_at_1 }]\n${two}`)
    expect(() => taskFilters(task)).toThrow('a.yaml: filter_list: programs are judged behind one filter, there are 2')
    const choice = await oneTask(`${minimal}metric_list: [{ metric: pass_at_1 }]\n`)
    expect(() => taskMetrics(choice)).toThrow('pass_at_1: is not supported for multiple_choice')
  })

  it('take other settings, field by field', async () => {
    const task = await oneTask(
      `${code}metric_list: [{ metric: pass_at_k, k: [1] }]\ngeneration_kwargs: { until: [x], max_gen_toks: 9, do_sample: false }\n`,
    )
    const changed = overrideGeneration(task, parseGenerationKwargs({ temperature: 0.5, max_tokens: 7 }), 20)
    expect(changed.generation).toEqual({ until: ['x'], maxTokens: 7, temperature: 0.5, topP: undefined, topK: undefined })
    expect(changed.repeats).toBe(20)
    expect(taskMetrics(changed).map(({ name }) => name)).toEqual(['pass@1', 'pass@10'])
    expect(overrideGeneration(task, parseGenerationKwargs({ temperature: 0.5, do_sample: false })).generation.temperature).toBe(0)
  })
})

describe('documents', () => {
  const build = async (doc: Record<string, unknown>, fields = '') =>
    buildTask(await oneTask(minimal + fields), { questions: [{ q: 'one', a: 0, c: ['x', 'y'] }, doc], examples: [] })

  it.each([
    [{ q: 'two', a: 0, c: ['x', ''] }, 'target_delimiter: ""\n', 't, item 1: an answer is empty'],
    [{ q: null, a: 0, c: ['x'] }, '', 't, item 1: doc_to_text: the field q is empty'],
    [{ q: 'two', a: 0, c: [] }, '', 't, item 1: doc_to_choice: there are no choices'],
    [{ q: 'two', a: 0, c: ['x', 7] }, '', 't, item 1: doc_to_choice: expected a list of texts'],
  ])('are refused by task, item and field: %o', async (doc, fields, message) => {
    await expect(build(doc, fields)).rejects.toThrow(message)
  })

  it('lack nothing that a template prints', async () => {
    const text = minimal.replace('doc_to_text: q', 'doc_to_text: "{{q}} {{nothing}}"')
    const task = await oneTask(text)
    expect(() => buildTask(task, { questions: [{ q: 'one', a: 0, c: ['x'] }], examples: [] })).toThrow(
      "t, item 0: doc_to_text: template: UndefinedError: 'nothing' is undefined",
    )
  })

  it('are cut by a limit, also by a share', async () => {
    const task = await oneTask(minimal)
    const questions = Array.from({ length: 10 }, (_, i) => ({ q: `q${i}`, a: 0, c: ['x'] }))
    const size = (limit?: number) => buildTask(task, { questions, examples: [] }, { limit }).items.length
    expect([size(), size(3), size(0.25), size(99)]).toEqual([10, 3, 3, 10])
  })
})

describe('samplers', () => {
  const pool = Array.from({ length: 30 }, (_, i) => ({ i }))

  it('leave the question out, also where it is there twice', () => {
    const twice = [{ i: 1 }, { i: 1 }, { i: 2 }, { i: 3 }]
    for (let seed = 0; seed < 50; seed++) {
      const drawn = createSampler('default', twice, seed).sample(2, { i: 1 })
      expect(new Set(drawn.map(({ i }) => i))).toEqual(new Set([2, 3]))
    }
    expect(createSampler('first_n', pool, 0).sample(2, { i: 0 })).toEqual([{ i: 1 }, { i: 2 }])
  })

  it('go on drawing from question to question', () => {
    const sampler = createSampler('default', pool, 1234)
    const random = new PythonRandom(1234)
    for (let i = 0; i < 3; i++) expect(sampler.sample(3)).toEqual(random.sample(pool, 3))
  })

  it('say when examples do not suffice', () => {
    expect(() => createSampler('default', pool, 0).sample(31)).toThrow('31 examples are wanted, the split has 30')
  })
})
