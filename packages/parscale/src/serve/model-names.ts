/** The models of a command line: `NAME=MODEL`, or MODEL, whose name is then the last part of its path. */
import { basename } from 'node:path'
import { usageError } from '@parscale/core/internal'

export interface NamedModel {
  readonly id: string
  /** Undefined: the model that ships. */
  readonly model: string | undefined
}

/** What requests call the model that ships. */
export const shippedName = 'parscale-small'

export function nameModels(given: readonly string[]): NamedModel[] {
  if (given.length === 0) return [{ id: shippedName, model: undefined }]
  const named = given.map((text) => {
    const [, id, model] = /^([\w.-]+)=(.+)$/s.exec(text) ?? []
    if (id !== undefined) return { id, model: model! }
    // ORG/NAME is known by both.
    if (/^[\w-][\w.-]*\/[\w.-]+$/.test(text) && !/\.gguf$/i.test(text)) return { id: text, model: text }
    return { id: basename(text.replace(/\/+$/, '')).replace(/\.gguf$/i, ''), model: text }
  })
  const twice = named.find(({ id }, i) => named.findIndex((other) => other.id === id) !== i)
  if (twice) throw usageError(`two models are named ${twice.id}; name one with NAME=${twice.model}`, { found: twice.id })
  return named
}
