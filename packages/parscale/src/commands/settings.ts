/** Overrides values of a configuration by path, such as `stages.0.learningRate`. Flags and `--set` use it. */
import { usageError } from '@parscale/core/internal'

export interface Setting {
  readonly path: string
  readonly value: unknown
  /** What the user wrote, for messages. */
  readonly flag: string
}

/** `learningRate=1e-3` of `--set`: the value is JSON, or text where it is none. */
export function parseSetting(text: string): Setting {
  const at = text.indexOf('=')
  if (at < 1)
    throw usageError(`--set ${text}: expected KEY=VALUE, such as stages.0.learningRate=1e-3`, { flag: 'set', found: text })
  return { path: text.slice(0, at), value: jsonOrText(text.slice(at + 1)), flag: `--set ${text}` }
}

/** A copy of `config` with the settings applied. @throws usage error for a key that the configuration does not have */
export function applySettings<T>(config: T, settings: readonly Setting[]): T {
  const copy = structuredClone(config)
  for (const { path, value, flag } of settings) {
    const keys = path.split('.')
    const last = keys.pop()!
    const holder = keys.reduce<unknown>(
      (at, key) => (Object.hasOwn(Object(at), key) ? (at as Record<string, unknown>)[key] : undefined),
      copy,
    )
    if (typeof holder !== 'object' || holder === null || !Object.hasOwn(holder, last)) {
      const known = typeof holder === 'object' && holder !== null ? `; there are ${Object.keys(holder).join(', ')}` : ''
      throw usageError(`${flag}: the configuration has no ${path}${known}. parscale train RECIPE --dry-run shows it whole`, {
        flag,
        found: path,
      })
    }
    ;(holder as Record<string, unknown>)[last] = value
  }
  return copy
}

function jsonOrText(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}
