/**
 * Writes the page for a web host: its files, what the model says of itself, traces that it made while it was written, and the
 * model's own files, which the page runs by itself.
 */
import { createHash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { usageError } from '@parscale/core/internal'
import { writeWholeFile } from '@parscale/core/internal/node/disk'
import { createServerApp, ModelRegistry } from '@parscale/core/internal/server'
import { resolveModel } from '../load/find-model.ts'
import { type LoadOptions, loadTextModel } from '../load/load.ts'
import { studioFolder } from '../package-files.ts'
import type { NamedModel } from '../serve/model-names.ts'
import { modelFiles } from './model-files.ts'
import { contentPolicy } from './pages.ts'
import { info } from './studio-app.ts'
import { record } from './traces.ts'

export interface ExportOptions {
  readonly models: readonly NamedModel[]
  readonly load: LoadOptions
  readonly env: NodeJS.ProcessEnv
  readonly say: (line: string) => void
  readonly signal: AbortSignal
}

/** @throws usage error where the folder has files that are not the page's */
export async function exportStudio(out: string, { models, load, env, say, signal }: ExportOptions): Promise<void> {
  const there: string[] = await readdir(out).catch(() => [])
  if (there.length > 0 && !(await isExport(out)))
    throw usageError(`--export ${out}: the folder is not empty; choose another`, { flag: '--export', file: out })
  const [first] = models
  const registry = new ModelRegistry([{ id: first!.id, load: () => loadTextModel(first!.model, load) }])
  try {
    await registry.load(first!.id)
    const { fetch } = createServerApp({ registry })
    const traces = await record(
      async (path, init) => fetch(new Request(`http://localhost${path}`, init)),
      info(registry, { models, runs: '' }).models[0]!,
      signal,
    )
    const about = exportedInfo(info(registry, { models: [], runs: '' }))
    const write = (path: string, content: Uint8Array | string) => writeWholeFile(join(out, path), content)
    for (const path of await listed(studioFolder)) {
      const bytes = await readFile(join(studioFolder, path))
      // A host need not know what a compressed file stands for.
      if (path.endsWith('.gz')) await write(path.slice(0, -3), gunzipSync(bytes))
      else await write(path, path === 'index.html' ? withPolicy(bytes.toString('utf8')) : bytes)
    }
    await writeModel(join(out, 'studio/model'), await resolveModel(first!.model, env), signal)
    await write('studio/info.json', JSON.stringify(about))
    await write('studio/traces.json', JSON.stringify(traces))
    say(`the page with ${traces.length} recorded traces: ${join(out, 'index.html')}; any web host can serve the folder`)
  } finally {
    await registry.close()
  }
}

/** Its files, and a list of them with digests, by which a page tells what it keeps from what is new. */
async function writeModel(folder: string, model: string, signal: AbortSignal): Promise<void> {
  const files = modelFiles(model)
  const list: { path: string; size: number; sha256: string }[] = []
  for (const { path, size } of await files.list()) {
    const hash = createHash('sha256')
    await writeWholeFile(join(folder, path), async (sink) => {
      for await (const part of files.read(path, 0, size)) {
        signal.throwIfAborted()
        hash.update(part)
        await sink.write(part)
      }
    })
    list.push({ path, size, sha256: hash.digest('hex') })
  }
  await writeWholeFile(join(folder, 'files.json'), JSON.stringify(list))
}

/** A host's headers are not ours: the policy goes into the page. */
const withPolicy = (html: string) =>
  html.replace('<head>', `<head>\n    <meta http-equiv="content-security-policy" content="${contentPolicy}" />`)

/** Whether a folder is what an export before this one wrote. */
export async function isExport(folder: string): Promise<boolean> {
  try {
    return JSON.parse(await readFile(join(folder, 'studio/info.json'), 'utf8')).static === true
  } catch {
    return false
  }
}

/** What everybody may read: where the model lies on the exporter's disk is nobody's business. */
export const exportedInfo = (about: ReturnType<typeof info>) => ({
  ...about,
  static: true,
  models: about.models.map((model) => ({ ...model, path: null })),
})

/** Paths of the files below a folder, in its own terms. */
async function listed(folder: string, below = ''): Promise<string[]> {
  const entries = await readdir(join(folder, below), { withFileTypes: true })
  const paths = entries.map(async (entry) => {
    const path = join(below, entry.name)
    return entry.isDirectory() ? await listed(folder, path) : entry.isFile() ? [path] : []
  })
  return (await Promise.all(paths)).flat()
}
