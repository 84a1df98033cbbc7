/** `parscale models`: the published ParScale checkpoints, and which of them are in the cache. */
import { type Command, InvalidArgumentError } from '@commander-js/extra-typings'
import { checkpointError, type ParscaleError } from '@parscale/core/internal'
import { resolveCachedModel } from '../hub/cached-model.ts'
import { type PublishedModel, publishedLicense, publishedModels, suggestModels } from '../hub/published-models.ts'
import type { Io } from '../terminal/io.ts'
import { didYouMean } from '../terminal/nearest.ts'
import { textTable } from '../terminal/text-table.ts'

const examples = `
Examples:
  parscale models                           all of them
  parscale models --p 8 --data pile         eight streams, trained on the Pile
  parscale models chat --json               those with "chat" in name, data or purpose

Sizes are the hub's names, with embeddings; the paper counts without them (1.8B here is its 1.6B).`

export interface ModelFilter {
  readonly p?: number
  /** `1.8B`, in any case; the B may be left out. */
  readonly size?: string
  /** Part of the name of the training data, in any case. */
  readonly data?: string
  /** Part of name, data or purpose, in any case. */
  readonly word?: string
}

export function register(command: Command, io: Io): void {
  command
    .argument('[word]', 'only those with this word in name, data or purpose')
    .option('--p <streams>', 'only those with so many streams: 1, 2, 4 or 8', parseStreams)
    .option('--size <size>', 'only those of this size, e.g. 1.8B')
    .option('--data <data>', 'only those trained on this data, e.g. python, pile')
    .option('--json', 'print a JSON array')
    .addHelpText('after', examples)
    .action(async (word, { json, ...filter }) => {
      const chosen = filterModels(publishedModels, { ...filter, word })
      if (chosen.length === 0 && !json) throw noMatch(word, filter)
      const rows = await Promise.all(
        chosen.map(async (model) => ({ ...model, cachedAt: (await resolveCachedModel(model.name, { env: io.env })) ?? null })),
      )
      if (json) {
        io.stdout(`${JSON.stringify(rows, null, 2)}\n`)
        return
      }
      const head = ['NAME', 'P', 'SIZE', 'DATA', 'PURPOSE', 'CACHED']
      const cells = rows.map((row) => [...columns(row), row.cachedAt === null ? '-' : 'yes'])
      // The name says size and P, too.
      io.stdout(textTable([head, ...cells], { width: io.columns, drop: ['PURPOSE', 'DATA', 'SIZE', 'P', 'CACHED'] }))
      io.stderr(
        `${rows.length} of ${publishedModels.length}; licence: tagged ${publishedLicense.tag}, the cards' text says '${publishedLicense.text}'\n`,
      )
    })
}

function noMatch(word: string | undefined, { p, size, data }: ModelFilter): ParscaleError {
  const asked = [word && JSON.stringify(word), p && `--p ${p}`, size && `--size ${size}`, data && `--data ${data}`].filter(
    Boolean,
  )
  const near = word === undefined ? [] : suggestModels(word)
  return checkpointError(
    `models: no published checkpoint matches ${asked.join(' ')}${didYouMean(near)}; parscale models lists all`,
    {
      found: word,
    },
  )
}

/** The models that pass all of the filters, in their order. */
export function filterModels(models: readonly PublishedModel[], { p, size, data, word }: ModelFilter): PublishedModel[] {
  const has = (text: string, part = '') => text.toLowerCase().includes(part.toLowerCase())
  const bare = (text: string) => text.toLowerCase().replace(/b$/, '')
  return models.filter(
    (model) =>
      (p === undefined || model.p === p) &&
      (size === undefined || bare(model.size) === bare(size)) &&
      has(model.data, data) &&
      has(`${model.name} ${model.data} ${model.purpose}`, word),
  )
}

const columns = ({ name, p, size, data, purpose }: PublishedModel) => [name, String(p), size, data, purpose]

function parseStreams(text: string): number {
  const p = Number(text)
  if (publishedModels.some((model) => model.p === p)) return p
  throw new InvalidArgumentError('expected 1, 2, 4 or 8.')
}
