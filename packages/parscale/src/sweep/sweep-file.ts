/** The YAML file of a sweep: what it may say, and what is said about everything else. Values of keys are for the command line's own parsers. */
import { readFile } from 'node:fs/promises'
import { usageError } from '@parscale/core/internal'
import { type RecipeName, recipeNames } from '@parscale/core/internal/training'
import { parse } from 'yaml'
import { didYouMean, nearestNames } from '../terminal/nearest.ts'
import { whyUnread } from '../terminal/why-unread.ts'
import { type Axis, type AxisValue, axisOf } from './plan.ts'
import type { SeedRule, StopRule } from './rules.ts'

export interface SweepFile {
  readonly path: string
  readonly recipe: RecipeName
  readonly base: Readonly<Record<string, AxisValue>>
  /** Without that of seeds. */
  readonly axes: readonly Axis[]
  readonly seeds: readonly number[]
  readonly stop: StopRule | undefined
  readonly more: SeedRule | undefined
  /** Options of sbatch: `time: 2:00:00`. */
  readonly slurm: Readonly<Record<string, string>>
}

const topKeys = ['recipe', 'base', 'axes', 'stop', 'seeds', 'slurm'] as const
/** Far more than a cluster trains; keeps a slip of the pen from making millions of folders. */
const mostRuns = 10_000

type Fields = Readonly<Record<string, unknown>>

/** @throws usage error naming file and key */
export async function readSweepFile(path: string): Promise<SweepFile> {
  const text = await readFile(path, 'utf8').catch((cause: NodeJS.ErrnoException) => {
    throw usageError(`${path}: ${whyUnread(cause)}; it is the file that describes the sweep`, { file: path, cause })
  })
  return parseSweepFile(text, path)
}

export function parseSweepFile(text: string, path: string): SweepFile {
  const refuse = (key: string, what: string, found?: unknown): never => {
    throw usageError(`${path}: ${key}: ${what}`, { file: path, flag: key, found })
  }
  let content: unknown
  try {
    content = parse(text, { maxAliasCount: 100 })
  } catch (cause) {
    const [first] = (cause as Error).message.split('\n')
    throw usageError(`${path}: is not YAML: ${first!.replace(/:$/, '')}`, { file: path, cause })
  }
  if (!isFields(content)) throw usageError(`${path}: expected a map with the keys recipe, base and axes`, { file: path })
  const file = content
  const known = (fields: Fields, names: readonly string[], prefix: string) => {
    for (const key of Object.keys(fields))
      if (!names.includes(key))
        refuse(`${prefix}${key}`, `there is no such key${didYouMean(nearestNames(key, names))}; there are ${names.join(', ')}`)
  }
  known(file, topKeys, '')

  const recipe = recipeNames.find((name) => name === file.recipe)
  if (!recipe) return refuse('recipe', `expected one of ${recipeNames.join(', ')}, found ${show(file.recipe)}`, file.recipe)
  const base = file.base ?? {}
  if (!isFields(base))
    return refuse('base', `expected a map of keys, such as { data: [text.txt], steps: 1000 }, found ${show(base)}`)
  const givenAxes = file.axes ?? {}
  if (!isFields(givenAxes)) return refuse('axes', `expected a map of lists, such as { p: [1, 2] }, found ${show(givenAxes)}`)

  const axes: Axis[] = []
  let seeds: number[] | undefined
  for (const [name, values] of Object.entries(givenAxes)) {
    const key = `axes.${name}`
    if (!Array.isArray(values) && !isFields(values))
      return refuse(key, `expected a list of values, such as [1, 2], found ${show(values)}`, values)
    if (Object.keys(values).length === 0) return refuse(key, 'has no values; give some, or leave the axis out')
    const repeated = repeatedOf(Array.isArray(values) ? values : Object.values(values))
    if (repeated !== undefined) return refuse(key, `${show(repeated)} is there twice`, repeated)
    if (name === 'seed') {
      seeds = Array.isArray(values) ? values : []
      const wrong = seeds.find((seed) => !isCount(seed, 0))
      if (wrong !== undefined || seeds.length === 0)
        return refuse(key, `expected a list of whole numbers of at least 0, found ${show(wrong ?? values)}`, wrong)
      if ('seed' in base) return refuse(key, 'is in base as well; leave one of them out')
      continue
    }
    const axis = axisOf(name, values as readonly AxisValue[])
    for (const each of Object.keys(axis.values[0]!.keys)) {
      const other = axes.find(({ values }) => each in values[0]!.keys)
      if (other) return refuse(key, `sets ${each}, which axes.${other.name} sets as well; leave one of them out`)
    }
    axes.push(axis)
  }
  for (const { name, values } of axes)
    for (const { keys } of values)
      for (const key of Object.keys(keys)) {
        if (key in base) return refuse(`axes.${name}`, `${key} is in base as well; leave one of them out`)
        if (key === 'seed') return refuse(`axes.${name}`, 'seeds have an axis of their own: seed: [1, 2]')
      }
  if (seeds === undefined) {
    const seed = 'seed' in base ? base.seed : 0
    if (!isCount(seed, 0)) return refuse('base.seed', `expected a whole number of at least 0, found ${show(seed)}`, seed)
    seeds = [seed as number]
  }
  const count = axes.reduce((product, { values }) => product * values.length, seeds.length)
  if (count > mostRuns) return refuse('axes', `make ${count} runs; at most ${mostRuns} are taken`, count)
  return {
    ...{ path, recipe, axes, seeds },
    base: Object.fromEntries(Object.entries(base).filter(([key]) => key !== 'seed')) as SweepFile['base'],
    stop: stopRule(),
    more: seedRule(),
    slurm: slurmOptions(),
  }

  function stopRule(): StopRule | undefined {
    const { stop } = file
    if (stop === undefined || stop === null) return undefined
    if (!isFields(stop)) return refuse('stop', `expected a map such as { rule: asha, eta: 3, least: 100 }, found ${show(stop)}`)
    known(stop, ['rule', 'eta', 'least', 'within'], 'stop.')
    const { rule = 'asha', eta = 3, least, within = [] } = stop
    if (rule !== 'asha' && rule !== 'halving') return refuse('stop.rule', `expected asha or halving, found ${show(rule)}`, rule)
    if (!isCount(eta, 2)) return refuse('stop.eta', `expected a whole number of at least 2, found ${show(eta)}`, eta)
    if (!isCount(least, 1))
      return refuse(
        'stop.least',
        `expected the steps of the first rung, a whole number of at least 1, found ${show(least)}`,
        least,
      )
    const names = axes.map(({ name }) => name)
    const list = Array.isArray(within) ? within : [within]
    const unknown = list.find((name) => !names.includes(name))
    if (unknown !== undefined)
      return refuse(
        'stop.within',
        `${show(unknown)} is no axis${names.length > 0 ? `; there are ${names.join(', ')}` : ''}`,
        unknown,
      )
    return { rule, eta: eta as number, least: least as number, within: list }
  }

  function seedRule(): SeedRule | undefined {
    const { seeds: rule } = file
    if (rule === undefined || rule === null) return undefined
    if (!isFields(rule)) return refuse('seeds', `expected a map such as { until: 0.01, most: 5 }, found ${show(rule)}`)
    known(rule, ['until', 'most'], 'seeds.')
    const { until, most } = rule
    if (typeof until !== 'number' || !(until > 0))
      return refuse(
        'seeds.until',
        `expected the largest standard error that will do, a number above 0, found ${show(until)}`,
        until,
      )
    if (!isCount(most, 2)) return refuse('seeds.most', `expected a whole number of at least 2, found ${show(most)}`, most)
    return { until, most: most as number }
  }

  function slurmOptions(): Record<string, string> {
    const { slurm } = file
    if (slurm === undefined || slurm === null) return {}
    if (!isFields(slurm)) return refuse('slurm', `expected options of sbatch, such as { time: '2:00:00' }, found ${show(slurm)}`)
    return Object.fromEntries(
      Object.entries(slurm).map(([key, value]) => {
        if (!/^[a-z][a-z0-9-]*$/.test(key)) return refuse(`slurm.${key}`, 'is no long option of sbatch; write it without dashes')
        if (ownSlurmOptions.includes(key)) return refuse(`slurm.${key}`, 'is set by parscale sweep; leave it out')
        if (typeof value !== 'string' && typeof value !== 'number')
          return refuse(`slurm.${key}`, `expected a text or a number, found ${show(value)}`)
        return [key, String(value)]
      }),
    )
  }
}

/** What sbatch is given besides (backends/slurm.ts). */
const ownSlurmOptions = ['array', 'requeue', 'no-requeue', 'output', 'error', 'open-mode', 'parsable', 'wrap', 'wait']

const isFields = (value: unknown): value is Fields => typeof value === 'object' && value !== null && !Array.isArray(value)
const isCount = (value: unknown, least: number): value is number =>
  typeof value === 'number' && Number.isSafeInteger(value) && value >= least
const show = (value: unknown): string => (value === undefined ? 'nothing' : (JSON.stringify(value) ?? 'nothing').slice(0, 80))

function repeatedOf(values: readonly unknown[]): unknown {
  const texts = values.map((value) => JSON.stringify(value))
  return values.find((_, i) => texts.indexOf(texts[i]!) !== i)
}
