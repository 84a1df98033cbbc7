/** Writes the page for a web host: its files, what the model says of itself, and traces that it made while it was written. */
import { readdir, readFile } from 'node:fs/promises'
import { join, relative } from 'node:path'
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
  readonly say: (line: string) => void
  readonly signal: AbortSignal
}

/** @throws usage error where the folder has files that are not the page's */
export async function exportStudio(out: string, { models, load, say, signal }: ExportOptions): Promise<void> {
  const there: string[] = await readdir(out).catch(() => [])
  if (there.length > 0 && !there.includes('index.html'))
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
    const about = { ...info(registry, { models: [first!], runs: '' }), static: true }
    const model = modelFiles(await resolveModel(first!.model, load.env))
    const write = (path: string, content: Uint8Array | string) => writeWholeFile(join(out, path), content)
    for (const path of await listed(studioFolder)) {
      const bytes = await readFile(join(studioFolder, path))
      await write(path, path === 'index.html' ? withPolicy(bytes.toString('utf8')) : bytes)
    }
    await write('studio/info.json', JSON.stringify(about))
    await write('studio/traces.json', JSON.stringify(traces))
    const files = await model.list()
    for (const { path } of files) await write(join('studio/model', path), await model.read(path))
    await write('studio/model/files.json', JSON.stringify(files))
    say(`the page with ${traces.length} recorded traces: ${join(out, 'index.html')}; any web host can serve the folder`)
  } finally {
    await registry.close()
  }
}

/** A host's headers are not ours: the policy goes into the page. */
const withPolicy = (html: string) =>
  html.replace('<head>', `<head>\n    <meta http-equiv="content-security-policy" content="${contentPolicy}" />`)

async function listed(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true, recursive: true })
  return entries.filter((entry) => entry.isFile()).map(({ parentPath, name }) => relative(folder, join(parentPath, name)))
}
