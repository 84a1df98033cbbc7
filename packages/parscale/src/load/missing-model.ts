/** What to say of a model that is not there: a path that leads nowhere, a name that was not pulled, or no name at all. */
import { readdir } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { checkpointError, type ParscaleError } from '@parscale/core/internal'
import { isRepoId, quote } from '../hub/names.ts'
import { publishedModels, suggestModels } from '../hub/published-models.ts'
import { didYouMean, nearestNames } from '../terminal/nearest.ts'

/** A path is one on purpose: `./model`, `/models/x`, `~/x`, `x.gguf`, `a/b/c`. It is never looked for on the hub. */
export const looksLikePath = (name: string): boolean =>
  /^(\.{0,2}[/\\]|\.{1,2}$|~|[A-Za-z]:[/\\])|[/\\]$|\\|\.(gguf|safetensors|json|bin|pth?)$/i.test(name) ||
  name.split('/').length > 2

/** A checkpoint error, whatever the form of the name: exit code 3. */
export async function missingModel(name: string): Promise<ParscaleError> {
  if (/\s/.test(name) && !looksLikePath(name))
    return checkpointError(`${quote(name)} is no model; did you mean --prompt ${quote(name)}?`, { found: name })
  const shown = /^[\w./~\\:@+-]+$/.test(name) ? name : quote(name)
  return checkpointError(`${shown}: ${await reason(name)}`, { found: name })
}

async function reason(name: string): Promise<string> {
  if (name === '') return 'the name of the model is empty; name a folder, a .gguf file or ORG/NAME'
  if (looksLikePath(name)) {
    if (name.startsWith('~')) return 'there is no such file or folder; ~ is expanded by shells only where it is not quoted'
    return `there is no such file or folder${didYouMean(await neighbours(name))}`
  }
  const published = publishedModels.find((model) => model.name === name)
  if (!published) {
    const bare = (text: string) => text.slice(text.indexOf('/') + 1).toLowerCase()
    const near = suggestModels(name)
    // Without its organisation, or in other letters, there is no doubt.
    const [sure] = near.filter((each) => bare(each) === bare(name))
    if (sure) return `there is no such file or folder; the published checkpoint is ${sure}: parscale pull ${sure}`
    if (near.length > 0)
      return `there is no such file, folder or published checkpoint${didYouMean(near)} (parscale models lists them)`
  }
  if (isRepoId(name) && name.includes('/'))
    return `there is no such folder here, and the hub's cache does not hold it; get it with: parscale pull ${name}`
  const local = await neighbours(name)
  if (local.length > 0) return `there is no such file or folder${didYouMean(local)}`
  return "there is no such file or folder, and it is not a model's name on the hub (ORG/NAME); parscale models lists published ones"
}

/** Names in its folder that look like it. */
async function neighbours(path: string): Promise<string[]> {
  const folder = dirname(path)
  const names = await readdir(folder).catch(() => [])
  const prefix = path.startsWith('./') ? './' : ''
  return nearestNames(basename(path), names).map((name) => `${prefix}${join(folder, name)}`)
}
