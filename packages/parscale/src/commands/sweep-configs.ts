/** From the keys of a sweep's file to the configuration of each run: a key is a flag of `parscale train`, or a key of its configuration. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { isParscaleError, type ParscaleError, usageError } from '@parscale/core/internal'
import type { ParscaleConfig } from '@parscale/core/internal/model'
import { documentFiles } from '@parscale/core/internal/node'
import { type RunConfig, runConfigSchema, totalSteps } from '@parscale/core/internal/training'
import { outlineModel } from '../load/outline.ts'
import { isStorageName } from '../storage/address.ts'
import { fetchingOf } from '../storage/fetching.ts'
import { type AxisValue, type Cell, cellsOf } from '../sweep/plan.ts'
import { rungsOf } from '../sweep/rules.ts'
import type { SweepFile } from '../sweep/sweep-file.ts'
import type { Io } from '../terminal/io.ts'
import { didYouMean, nearestNames } from '../terminal/nearest.ts'
import { parsed } from './general-options.ts'
import { type ConfigFlags, configOf, configOptions, type OnGiven } from './train-options.ts'

export type ConfiguredCell = Cell & { readonly steps: number; readonly config: RunConfig }

/** Other words for flags, those of the paper and its law. */
const alsoCalled: Readonly<Record<string, string>> = { tokens: 'trainTokens', P: 'p' }
const flagNames = configOptions.map((option) => option.name()).filter((name) => name !== 'set')
const configKeys = Object.keys(runConfigSchema.shape).filter((key) => key !== 'version' && key !== 'recipe')

/**
 * The cells with what each of them computes.
 *
 * @throws usage error naming file, key and what is wrong with it, also for data and models that are not there
 */
export async function configuredCells(file: SweepFile, io: Io): Promise<ConfiguredCell[]> {
  const { path, recipe, stop } = file
  const models = new Map<string, ParscaleConfig | undefined>()
  const cells: ConfiguredCell[] = []
  const given = new GivenKeys()
  const base = flagsOf(file.base, `${path}: base.`)
  for (const { name, values } of file.axes) for (const { keys } of values) flagsOf(keys, `${path}: axes.`, name)
  for (const cell of cellsOf(file.axes)) {
    const own = flagsOf(cell.keys, `${path}: axes.`)
    const flags: ConfigFlags = { ...base, ...own, set: [...(base.set ?? []), ...(own.set ?? [])] }
    const { model } = flags
    if (model !== undefined && !models.has(model))
      models.set(model, (await outlineModel(model, fetchingOf(io))).backbone.config.parscale)
    try {
      const config = configOf(recipe, flags, model === undefined ? undefined : models.get(model), given.take)
      cells.push({ ...cell, config, steps: totalSteps(config) })
    } catch (error) {
      throw inRun(error, file, cell)
    }
  }
  given.requireUsed(file)
  await requireFiles(cells, path)
  if (stop) requireRungs(cells, file)
  return cells
}

/** Which keys do something in some run: controls of P = 1 may have what is meant for the others. */
class GivenKeys {
  readonly #used = new Set<string>()
  readonly #unused = new Map<string, ParscaleError>()

  readonly take: OnGiven = ({ path }, unused) => {
    if (!unused) this.#used.add(path)
    else if (!this.#unused.has(path)) this.#unused.set(path, unused)
  }

  /** @throws usage error for the first key that does nothing in any run */
  requireUsed({ path, recipe }: SweepFile): void {
    for (const [key, unused] of this.#unused) {
      if (this.#used.has(key)) continue
      const said = unused.message.replace(`train ${recipe}: `, '')
      throw usageError(`${path}, every run: ${said}`, { ...unused.facts, file: path })
    }
  }
}

/** @param axis which they are of, where the map itself has another name */
function flagsOf(keys: Readonly<Record<string, AxisValue>>, where: string, axis?: string): ConfigFlags {
  const flags: Record<string, unknown> = {}
  const set: string[] = []
  for (const [key, value] of Object.entries(keys)) {
    const at = axis === undefined || axis === key ? `${where}${key}` : `${where}${axis}: ${key}`
    const wanted = alsoCalled[key] ?? key
    const option = configOptions.find((each) => each.attributeName() === wanted || each.name() === wanted)
    if (option && option.name() !== 'set' && !isMap(value)) {
      // Several kinds of streams are one word; only data is given several times.
      const isList = Array.isArray(value) && option.name() !== 'data'
      flags[option.attributeName()] = parsed(option, isList ? value.join(',') : value, at)
    } else if (configKeys.includes(key.split('.')[0]!) && (key.includes('.') || isMap(value) || key === 'tokenizer')) {
      set.push(...settings(key, value))
    } else {
      const names = [...flagNames, ...configKeys]
      throw usageError(
        `${at}: neither a flag of parscale train nor a key of its configuration${didYouMean(nearestNames(key, names))}; parscale train --help lists the flags, and docs/configuration.md the keys`,
        { flag: key, found: key },
      )
    }
  }
  return { ...flags, ...(set.length > 0 && { set }) }
}

/** `{ streams: { prefixTokens: 4 } }` as `--set streams.prefixTokens=4`. */
const settings = (path: string, value: AxisValue): string[] =>
  isMap(value)
    ? Object.entries(value).flatMap(([key, item]) => settings(`${path}.${key}`, item))
    : [`${path}=${JSON.stringify(value)}`]

const isMap = (value: AxisValue): value is { readonly [key: string]: AxisValue } =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

function inRun(error: unknown, { path, recipe }: SweepFile, { axes }: Cell): unknown {
  if (!isParscaleError(error) || error.kind !== 'usage') return error
  const point = Object.entries(axes).map(([name, label]) => `${name} = ${label}`)
  const said = error.message.replace(`train ${recipe}: `, '')
  return usageError(`${path}${point.length > 0 ? `, the run with ${point.join(', ')}` : ''}: ${said}`, {
    ...error.facts,
    file: path,
  })
}

async function requireFiles(cells: readonly ConfiguredCell[], path: string): Promise<void> {
  const seen = new Set<string>()
  for (const { config } of cells) {
    const key = JSON.stringify([config.data.files, config.tokenizer])
    if (seen.has(key)) continue
    seen.add(key)
    // What lies in storage is looked for by the first run.
    const here = config.data.files.filter((name) => !isStorageName(name))
    if (here.length > 0)
      await documentFiles(here).catch((error) => {
        throw isParscaleError(error) ? usageError(`${path}: data: ${error.message}`, { file: path, cause: error }) : error
      })
    if (config.tokenizer !== null && !isStorageName(config.tokenizer) && !existsSync(join(config.tokenizer, 'tokenizer.json')))
      throw usageError(`${path}: tokenizer: ${config.tokenizer} has no tokenizer.json`, { file: path })
  }
}

/** Runs that compete are compared at the same steps of schedules that are as long. */
function requireRungs(cells: readonly ConfiguredCell[], { path, stop, axes }: SweepFile): void {
  const { within, least } = stop!
  const lengths = new Map<string, number>()
  for (const { axes: labels, steps } of cells) {
    const group = JSON.stringify(within.map((axis) => labels[axis]))
    const other = lengths.get(group) ?? steps
    if (other !== steps) {
      const varied = axes.map(({ name }) => name).filter((name) => !within.includes(name))
      throw usageError(
        `${path}: stop: runs of ${other} and of ${steps} steps would compete; name the axis that makes the difference in within (one of ${varied.join(', ')})`,
        { file: path, flag: 'stop.within' },
      )
    }
    lengths.set(group, steps)
  }
  const longest = Math.max(...lengths.values())
  if (rungsOf(longest, stop).length === 0)
    throw usageError(`${path}: stop.least: the first rung, at step ${least}, is not before the end, at step ${longest}`, {
      file: path,
      flag: 'stop.least',
      found: least,
    })
}
