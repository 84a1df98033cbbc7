/** A model of the Hugging Face hub, or of a server that speaks its API. */
import { parseJsonText } from '../../checkpoint/index.ts'
import { checkpointError, hubError, usageError } from '../../errors.ts'
import { get, type Headers, remoteFile } from './http.ts'
import { type ModelSource, neededFiles } from './source.ts'

export interface HubSource {
  readonly hub: string
  readonly revision?: string
  readonly endpoint?: string
  readonly token?: string
}

export function hubSource({ hub, revision = 'main', endpoint = 'https://huggingface.co', token }: HubSource): ModelSource {
  if (!/^[\w.-]+\/[\w.-]+$/.test(hub))
    throw usageError(`source.hub: expected ORG/NAME, got ${JSON.stringify(hub)}`, { flag: 'source.hub', found: hub })
  if (!/^[\w./-]+$/.test(revision))
    throw usageError(`source.revision: ${JSON.stringify(revision)} is no revision`, { flag: 'source.revision', found: revision })
  const root = new URL(endpoint, globalThis.location?.href).href.replace(/\/$/, '')
  const headers: Headers = token === undefined ? {} : { authorization: `Bearer ${token}` }
  const at = encodeURIComponent(revision)
  return {
    name: hub,
    identity: `hub:${root} ${hub} ${revision}`,
    gguf: false,
    async list(signal) {
      const url = `${root}/api/models/${hub}/tree/${at}?recursive=true`
      const response = await get(url, headers, signal)
      if (!response) throw hubError(`${hub}: ${root} has no such model, or no revision ${revision}`, { found: hub })
      const entries = parseJsonText(await response.text(), url)
      if (!Array.isArray(entries)) throw checkpointError(`${url}: expected a list of files`, { file: url })
      const files = (entries as HubEntry[]).filter(({ type, path }) => type === 'file' && typeof path === 'string')
      return neededFiles(
        files.map(({ path, size, oid, lfs }) =>
          remoteFile(
            { path, size: lfs?.size ?? size, sha256: lfs?.oid, tag: lfs?.oid ?? oid },
            `${root}/${hub}/resolve/${at}/${path}`,
            headers,
          ),
        ),
        hub,
      )
    },
  }
}

interface HubEntry {
  readonly type: string
  readonly path: string
  readonly size: number
  readonly oid: string
  readonly lfs?: { readonly oid: string; readonly size: number }
}
