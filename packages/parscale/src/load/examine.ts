/**
 * Describes a model although it may be damaged, and says what is wrong with it: what loading would refuse it for, by the same checks. Of
 * what cannot be opened only config.json is described, and a stream set not at all.
 */
import { isParscaleError, type ParscaleError } from '@parscale/core/internal'
import { parseModelConfig, readJson, requireLayers, requireStreamTensors } from '@parscale/core/internal/checkpoint'
import { hasStreams } from '@parscale/core/internal/model'
import { isGgufFile, type ModelFolder, openModelFolder, streamSetFolders, textFiles } from '@parscale/core/internal/node/models'
import { saidAsData } from '../terminal/said-as-data.ts'
import { resolveModel } from './find-model.ts'
import { checkedFiles } from './load.ts'
import { type OpenModel, type OpenOptions, openModel, openModelStreamed } from './open-model.ts'
import type { ModelOutline, Outline } from './outline.ts'
import { precisionOf } from './precision.ts'

export interface ExaminedModel {
  readonly outline: ModelOutline
  /** The first is what loading would say; the others are of other parts of the model. Empty: its files are sound. */
  readonly problems: readonly ParscaleError[]
}

/** What is wrong with a model, as JSON. */
export interface Problem {
  readonly message: string
  readonly file?: string
  readonly tensor?: string
}

/**
 * A model as it would run, and its problems. Numbers are looked at as far as loading looks at them, but for matrices that would have to be
 * decoded or rounded first: of a GGUF file those of headers only.
 *
 * @throws as openModel where there is nothing to describe: no config.json that can be read, no GGUF header; errors that are not the model's
 */
export async function examineModel(model: string | undefined, options: OpenOptions = {}): Promise<ExaminedModel> {
  const path = await resolveModel(model, options.env, options)
  const problems = new Problems()
  const isMade = (await precisionOf(path, options)) !== 'asItIs'
  const isFolder = !(await isGgufFile(path))
  const checked = (unread: boolean, opening: () => Promise<OpenModel>) =>
    problems.of(async () => {
      const open = await opening()
      await problems.of(() => checkedFiles(open, { unread })).finally(() => open.close())
      return open
    })
  const open = await checked(isMade, async () => (await openModelStreamed(model, options)) ?? (await openModel(model, options)))
  // Rounded or not, it is as damaged as the files that it is made of, whose numbers are at hand.
  if (isMade && isFolder) await checked(false, () => openModel(model, { ...options, bits: undefined }))
  const parts = isFolder && problems.found.length > 0 ? await openParts(path, options, problems) : undefined
  return { outline: open ?? parts ?? problems.refuse(), problems: problems.found }
}

/** To be called when the model is described. @throws the first problem: the command ends as one that loads the model does */
export function failWith([first]: readonly ParscaleError[]): void {
  if (first) throw saidAsData(first)
}

export const problemsAsJson = (problems: readonly ParscaleError[]): Problem[] =>
  problems.map(({ message, facts: { file, tensor } }) => ({
    message,
    ...(file !== undefined && { file }),
    ...(tensor !== undefined && { tensor }),
  }))

/** For people: a block like those of other results. */
export const problemsText = (problems: readonly ParscaleError[]): string =>
  problems.map(({ message }, i) => `${(i === 0 ? 'problems' : '').padEnd(14)}${message}\n`).join('')

/** Checks of what a model becomes have other words for the same tensor. */
const isSame = ({ message, facts: { file, tensor } }: ParscaleError, other: ParscaleError): boolean =>
  message === other.message || (tensor !== undefined && tensor === other.facts.tensor && file === other.facts.file)

/** What is wrong, each once. */
class Problems {
  readonly found: ParscaleError[] = []

  /** What `work` gives; undefined where the model's files are in its way. @throws all else */
  async of<T>(work: () => Promise<T>): Promise<T | undefined> {
    try {
      return await work()
    } catch (error) {
      if (!isParscaleError(error) || (error.kind !== 'checkpoint' && error.kind !== 'unsupported')) throw error
      if (!this.found.some((other) => isSame(other, error))) this.found.push(error)
      return undefined
    }
  }

  refuse(): never {
    throw this.found[0]!
  }
}

/** Backbone and stream sets one by one, since a check of all of them ends with the first that is damaged. */
async function openParts(
  path: string,
  { streamSets: named = [], env, ...fetching }: OpenOptions,
  problems: Problems,
): Promise<ModelOutline> {
  const backbone = await openPart(path, problems, async (open) => {
    await checkedFiles({ backbone: open, streamSets: [] }, { unread: false })
  })
  const folders = await streamSetFolders(path)
  for (const name of named) folders.push(await resolveModel(name, env, fetching))
  const streamSets: Outline[] = []
  for (const folder of folders) {
    const set = (await isGgufFile(folder))
      ? undefined
      : await openPart(folder, problems, async (open) => requireStreamTensors(open))
    if (set && hasStreams(set.config)) streamSets.push(set)
  }
  return { backbone: backbone ?? (await outlineOfConfig(path, problems)), streamSets }
}

async function openPart(
  path: string,
  problems: Problems,
  check: (open: ModelFolder) => Promise<void>,
): Promise<Outline | undefined> {
  const open = await problems.of(() => openModelFolder(path))
  if (open) await problems.of(() => check(open)).finally(() => open.close())
  return open
}

async function outlineOfConfig(path: string, problems: Problems): Promise<Outline> {
  const file = `${path}/config.json`
  const config = await problems.of(async () => {
    const config = parseModelConfig(await readJson(textFiles(path), 'config.json'), file)
    requireLayers(config, 0, file)
    return config
  })
  return { path, config: config ?? problems.refuse(), tensors: new Map() }
}
