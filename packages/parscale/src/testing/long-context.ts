/** The model that ships with a context for long prompts, of which it makes nothing good: for tests of what is around it. */
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const shipped = fileURLToPath(new URL('../../models/small', import.meta.url))

/** @returns the model's folder, and what removes it */
export function longContextModel(maxPositionEmbeddings = 2048): { readonly path: string; remove(): void } {
  const folder = mkdtempSync(join(tmpdir(), 'parscale-long-'))
  const path = join(folder, 'small')
  cpSync(shipped, path, { recursive: true })
  for (const at of ['.', ...[2, 4, 8].map((p) => `streams/p${p}`)]) {
    const config = join(path, at, 'config.json')
    const keys = JSON.parse(readFileSync(config, 'utf8')) as Record<string, unknown>
    writeFileSync(config, JSON.stringify({ ...keys, max_position_embeddings: maxPositionEmbeddings }))
  }
  return { path, remove: () => rmSync(folder, { recursive: true }) }
}
