/** Models that are dropped onto the page: a folder of its own for each, file by file, then loaded beside the others. */
import { readdir, stat } from 'node:fs/promises'
import { totalmem } from 'node:os'
import { join } from 'node:path'
import { usageError } from '@parscale/core/internal'
import { removeFolder, writeWholeFile } from '@parscale/core/internal/node/disk'
import { type ModelRegistry, readJson } from '@parscale/core/internal/server'
import type { Hono } from 'hono'
import { z } from 'zod'
import { type LoadOptions, loadTextModel } from '../load/load.ts'
import { availableMemoryBytes } from '../load/memory.ts'

export interface DroppedOptions {
  readonly load: LoadOptions
  /** Folder for them. */
  readonly dropped: string
}

const beginRequest = z.object({ name: z.string(), bytes: z.number().min(0) })

/** @param paths told where the model of a name lies */
export function droppedModels(
  app: Hono,
  registry: ModelRegistry,
  options: DroppedOptions,
  paths: Map<string, string | undefined>,
): void {
  /** Names of folders that this server took: what others have put beside them is not written to. */
  const begun = new Set<string>()
  const folderOf = (name: string): string => {
    if (begun.has(name)) return join(options.dropped, name)
    throw usageError(`no model ${JSON.stringify(name.slice(0, 100))} was begun; drop its files again`)
  }

  /** Two models of one name do not share a folder. */
  const newName = async (name: string): Promise<string> => {
    for (let i = 1; ; i++) {
      const free = i === 1 ? name : `${name}-${i}`
      const isThere = await stat(join(options.dropped, free)).catch(() => undefined)
      if (isThere || begun.has(free)) continue
      begun.add(free)
      return free
    }
  }

  /** Takes a name for the files, this one or one like it, and says which. */
  app.post('/studio/models', async (c) => {
    const { name, bytes } = beginRequest.parse(await readJson(c.req.raw, 2 ** 16))
    const free = availableMemoryBytes()
    if (bytes > free)
      throw usageError(
        `the files have ${gigabytes(bytes)}, and ${gigabytes(free)} of this machine's memory are free: it does not fit`,
      )
    const made = await newName(safeName(name))
    return c.json({ name: made })
  })
  app.put('/studio/models/:name/:file', async (c) => {
    const file = safeName(c.req.param('file'))
    const folder = folderOf(c.req.param('name'))
    const most = totalmem()
    const tooLarge = () => usageError(`${file} is larger than the ${gigabytes(most)} of memory of this machine: it does not fit`)
    if (Number(c.req.header('content-length') ?? 0) > most) throw tooLarge()
    const content = c.req.raw.body
    if (!content) throw usageError(`${file} is empty`)
    let bytes = 0
    await writeWholeFile(join(folder, file), async (sink) => {
      for await (const part of content) {
        // Its length need not have been told.
        bytes += part.length
        if (bytes > most) throw tooLarge()
        await sink.write(part)
      }
    })
    return c.json({})
  })
  app.post('/studio/models/:name/load', async (c) => {
    const name = c.req.param('name')
    const folder = folderOf(name)
    const gguf = (await readdir(folder)).find((file) => /\.gguf$/i.test(file))
    const path = gguf === undefined ? folder : join(folder, gguf)
    let id = name
    for (let i = 2; registry.statuses.some((status) => status.id === id); i++) id = `${name}-${i}`
    // Before it stands among the models: one that cannot be loaded is none, and its files go.
    const text = await loadTextModel(path, options.load).catch(async (error) => {
      begun.delete(name)
      await removeFolder(folder)
      throw error
    })
    let first: typeof text | undefined = text
    registry.add({
      id,
      load: async () => {
        const taken = first ?? (await loadTextModel(path, options.load))
        first = undefined
        return taken
      },
    })
    paths.set(id, path)
    await registry.load(id)
    return c.json({ id })
  })
}

function safeName(name: string): string {
  const safe = name.replace(/[^\w.-]/g, '_')
  if (!/^[\w][\w.-]{0,199}$/.test(safe) || safe.includes('..'))
    throw usageError(`${JSON.stringify(name.slice(0, 100))} is no name of a file`)
  return safe
}

const gigabytes = (bytes: number) => `${(bytes / 1e9).toFixed(1)} GB`
