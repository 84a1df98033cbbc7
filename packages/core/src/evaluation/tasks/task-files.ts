/** Task files of a folder or of a user's own: YAML with `include`, groups and tags, to checked configurations by name. */
import { parseDocument, type ScalarTag, type Tags } from 'yaml'
import * as z from 'zod'
import { checkpointError, usageError } from '../../errors.ts'
import { safeParse } from '../../safe-parse.ts'
import { Builtin, issueText, PythonFunction, type TaskConfig, taskConfig } from './config.ts'

/** Where files are. Paths are the platform's. */
export interface TaskFiles {
  read(path: string): Promise<string>
  /** A path as written in the file at `from`. */
  resolve(from: string, path: string): string
}

/** What was asked for: tasks, each once, and the groups over them. */
export interface TaskSet {
  readonly tasks: readonly TaskConfig[]
  readonly groups: readonly TaskGroup[]
}

export interface TaskGroup {
  readonly name: string
  readonly alias: string
  readonly version: string | number
  /** Names of tasks and groups right below. */
  readonly members: readonly string[]
  readonly aggregates: readonly {
    readonly metric: string
    readonly filters: readonly string[] | undefined
    readonly bySize: boolean
  }[]
}

type Fields = Record<string, unknown>

const own: Tags = [
  { tag: '!function', resolve: (text: string) => new PythonFunction(text) },
  { tag: '!builtin', resolve: (text: string) => new Builtin(text) },
]

/** PyYAML's true and false: `y` and `n`, which YAML 1.1 has as well, are texts. */
const python: Readonly<Record<string, RegExp>> = {
  true: /^(?:yes|Yes|YES|true|True|TRUE|on|On|ON)$/,
  false: /^(?:no|No|NO|false|False|FALSE|off|Off|OFF)$/,
}

const customTags = (tags: Tags): Tags => [
  ...tags.map((tag) => {
    if (typeof tag !== 'object' || tag.tag !== 'tag:yaml.org,2002:bool' || !('test' in tag)) return tag
    return { ...tag, test: python[String(tag.test?.test('true') === true)] } as ScalarTag
  }),
  ...own,
]

/** Deeper than any chain of includes. */
const maxIncludes = 16

/**
 * A file's fields with those it includes under them, and the file each field stands in.
 *
 * @throws checkpoint error for what is no YAML, usage error for what is no mapping, or includes itself
 */
export async function readTaskFile(files: TaskFiles, path: string, depth = 0): Promise<Fields> {
  // YAML 1.1, as PyYAML reads it: yes and no are true and false.
  const document = parseDocument(await files.read(path), { version: '1.1', merge: true, customTags })
  const [error] = document.errors
  if (error) throw checkpointError(`${path}: is no YAML: ${error.message.split('\n')[0]}`, { file: path, cause: error })
  const value: unknown = document.toJS({ maxAliasCount: 100 })
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw usageError(`${path}: expected a mapping of fields`, { file: path })
  const { include, ...own } = value as Fields
  if (include === undefined || include === null) return own
  const names = [include].flat()
  if (!names.every((name) => typeof name === 'string'))
    throw usageError(`${path}: include: expected a file's name or a list of them`, { file: path })
  if (depth === maxIncludes)
    throw usageError(`${path}: include: files include each other, or ${maxIncludes} deep`, { file: path })
  let merged: Fields = {}
  for (const name of names) merged = { ...merged, ...(await readTaskFile(files, files.resolve(path, name as string), depth + 1)) }
  return { ...merged, ...own }
}

const groupSchema = z.strictObject({
  group: z.string().min(1),
  group_alias: z.string().nullish(),
  task: z.union([z.string(), z.array(z.union([z.string(), z.record(z.string(), z.unknown())]))]),
  aggregate_metric_list: z
    .array(
      z.strictObject({
        metric: z.string(),
        aggregation: z.literal('mean').nullish(),
        weight_by_size: z.boolean().nullish(),
        filter_list: z.union([z.string(), z.array(z.string())]).nullish(),
      }),
    )
    .nullish(),
  metadata: z.looseObject({ version: z.union([z.number(), z.string()]).nullish() }).nullish(),
  tag: z.union([z.string(), z.array(z.string())]).nullish(),
})

/** Every task and group that the files define, by name: a user's file goes before one that ships. */
export type TaskIndex = ReadonlyMap<
  string,
  {
    readonly path: string
    readonly fields: Fields
    /** Written out in a group's file. */
    readonly isMember?: true
  }
>

export async function indexTaskFiles(files: TaskFiles, paths: readonly string[]): Promise<TaskIndex> {
  const index = new Map<string, { path: string; fields: Fields; isMember?: true }>()
  for (const path of paths) {
    const fields = await readTaskFile(files, path)
    const { group, task } = fields
    if (typeof group === 'string') index.set(group, { path, fields })
    else if (typeof task === 'string') index.set(task, { path, fields })
    if (group === undefined || !Array.isArray(task)) continue
    // Tasks that a group writes out can be asked for by themselves.
    for (const { include, ...own } of task.filter(isFields)) {
      if (typeof own.task !== 'string' || typeof include !== 'string') continue
      index.set(own.task, {
        path,
        fields: { ...(await readTaskFile(files, files.resolve(path, include))), ...own },
        isMember: true,
      })
    }
  }
  return index
}

const isFields = (value: unknown): value is Fields => typeof value === 'object' && value !== null

/** @throws usage error for a name that there is not, with those that there are; as taskConfig */
export function selectTasks(index: TaskIndex, names: readonly string[]): TaskSet {
  const tasks = new Map<string, TaskConfig>()
  const groups = new Map<string, TaskGroup>()

  function add(name: string, overrides: Fields, open: readonly string[]): readonly string[] {
    const found = index.get(name)
    if (!found) return addTag(name, overrides, open)
    if (open.includes(name)) throw usageError(`${found.path}: the group ${name} holds itself`, { file: found.path })
    if (found.fields.group === undefined) {
      if (!tasks.has(name)) tasks.set(name, taskConfig({ ...found.fields, ...overrides, task: name }, found.path))
      return [name]
    }
    const parsed = safeParse(groupSchema, found.fields)
    if (!parsed.success) throw usageError(`${found.path}: ${issueText(parsed.error)}`, { file: found.path })
    const { group, group_alias: alias, task, aggregate_metric_list: aggregates, metadata } = parsed.data
    const members: string[] = []
    for (const member of [task].flat()) members.push(...addMember(member, found.path, overrides, [...open, name]))
    groups.set(group, {
      name: group,
      alias: alias ?? group,
      version: metadata?.version ?? 'N/A',
      members,
      aggregates: (aggregates ?? []).map(({ metric, weight_by_size: bySize, filter_list: filters }) => ({
        metric,
        filters: filters ? [filters].flat() : undefined,
        bySize: bySize ?? true,
      })),
    })
    return [group]
  }

  /** A name, or a task written right there with the fields it does not share. */
  function addMember(member: string | Fields, path: string, overrides: Fields, open: readonly string[]) {
    if (typeof member === 'string') return add(member, overrides, open)
    const { task, include: _, ...fields } = member
    if (typeof task !== 'string')
      throw usageError(`${path}: task: expected names of tasks, or mappings with a field task`, { file: path })
    if (index.has(task)) return add(task, { ...overrides, ...fields }, open)
    if (!tasks.has(task)) tasks.set(task, taskConfig({ ...overrides, ...fields, task }, path))
    return [task]
  }

  function addTag(name: string, overrides: Fields, open: readonly string[]): readonly string[] {
    const tagged = [...index].filter(([, { fields }]) => fields.group === undefined && [fields.tag ?? []].flat().includes(name))
    if (tagged.length === 0) throw usageError(unknownTask(name, index), { flag: 'tasks', found: name })
    const added: string[] = []
    for (const [task] of tagged.sort(([a], [b]) => (a < b ? -1 : 1))) added.push(...add(task, overrides, open))
    return added
  }

  for (const name of names) add(name, {}, [])
  return { tasks: [...tasks.values()], groups: [...groups.values()] }
}

const unknownTask = (name: string, index: TaskIndex) =>
  `--tasks: there is no task ${JSON.stringify(name)}; there are ${shownNames(index)}, and any YAML file by its path`

/** Without the many of groups. */
const shownNames = (index: TaskIndex): string =>
  [...index]
    .flatMap(([name, { isMember }]) => (isMember ? [] : [name]))
    .sort()
    .join(', ')
