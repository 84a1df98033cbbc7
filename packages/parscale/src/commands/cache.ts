/** `parscale cache`: what was unpacked, quantised, packed and tokenized; whether it is still what was written. */
import type { Command } from '@commander-js/extra-typings'
import { checkpointError, usageError } from '@parscale/core/internal'
import { type CacheEntry, cacheEntries, removeEntry, verifyEntry } from '@parscale/core/internal/node/models'
import { cacheFolder } from '../load/find-model.ts'
import type { Io } from '../terminal/io.ts'
import { formatAmount } from '../terminal/progress.ts'
import { textTable } from '../terminal/text-table.ts'

const examples = `
Examples:
  parscale cache list                         what is there, made of what, how large
  parscale cache verify                       reads all of it; exit code 3 when a bit has flipped
  parscale cache remove packed/model-backbone-0123456789ab-0123456789ab --yes
  parscale cache remove --all --yes

The cache lies in PARSCALE_CACHE, else in the platform's cache folder. All that is in it is made anew when it is needed.
Models of the hub lie elsewhere: parscale models.`

export function register(command: Command, io: Io): void {
  command.addHelpText('after', examples)
  command
    .command('path')
    .description("print the cache's folder")
    .action(() => io.stdout(`${cacheFolder(io.env)}\n`))
  command
    .command('list')
    .description('what is in the cache, what it was made of, its size and when it was last used')
    .option('--json', 'print a JSON array')
    .action(async ({ json }) => {
      const entries = await cacheEntries(cacheFolder(io.env))
      if (json) return io.stdout(`${JSON.stringify(entries, null, 2)}\n`)
      if (entries.length > 0)
        io.stdout(
          textTable([['NAME', 'SIZE', 'LAST USED', 'STATE', 'MADE OF'], ...entries.map(listed)], {
            width: io.columns,
            drop: ['MADE OF', 'LAST USED'],
          }),
        )
      io.stderr(`${total(entries)} in ${cacheFolder(io.env)}\n`)
    })
  command
    .command('verify')
    .description('read what is in the cache and compare it with the hashes that were written with it')
    .argument('[name]', 'only this entry, as parscale cache list names it')
    .option('--json', 'print a JSON array')
    .action((name, { json }) => verify(io, name, json))
  command
    .command('remove')
    .description('remove an entry and what was made of it')
    .argument('[name]', 'as parscale cache list names it')
    .option('--all', 'every entry')
    .option('--yes', 'remove it; without, only say what would be removed')
    .action(async (name, { all, yes }) => {
      if ((name === undefined) === (all === undefined))
        throw usageError('cache remove: expected NAME or --all', { flag: '--all' })
      const entries = outermost(await chosen(io, name))
      if (!yes) throw usageError(`would remove ${total(entries)}: ${names(entries)}; to do it, add --yes`, { flag: '--yes' })
      for (const entry of entries) await removeEntry(entry, io.signal)
      io.stderr(`removed ${total(entries)}\n`)
    })
}

async function verify(io: Io, name: string | undefined, json: true | undefined): Promise<void> {
  const entries = await chosen(io, name)
  const sizeBytes = entries.reduce((sum, entry) => sum + entry.sizeBytes, 0)
  const progress = io.progress('verifying', 'B')
  let doneBytes = 0
  const rows: { name: string; state: 'whole' | 'damaged' | 'incomplete' | 'without hashes'; found: string | undefined }[] = []
  for (const entry of entries) {
    const onBytes = (bytes: number) => {
      doneBytes += bytes
      progress.update(doneBytes, sizeBytes, entry.name)
    }
    const { hashes, damage } = await verifyEntry(entry, { signal: io.signal, onBytes }).finally(() => progress.end())
    const state = damage ? 'damaged' : entry.state !== 'whole' ? entry.state : hashes ? 'whole' : 'without hashes'
    rows.push({ name: entry.name, state, found: damage && `${damage.file} ${damage.found}` })
  }
  if (json) io.stdout(`${JSON.stringify(rows, null, 2)}\n`)
  else if (rows.length > 0)
    io.stdout(
      textTable([['NAME', 'STATE', 'FOUND'], ...rows.map((row) => [row.name, row.state, row.found ?? ''])], {
        width: io.columns,
      }),
    )
  const bad = rows.filter(({ state }) => state === 'damaged' || state === 'incomplete')
  if (bad.length === 0) return io.stderr(`${rows.length} entries, none damaged\n`)
  throw checkpointError(
    `cache: ${bad.length} of ${rows.length} entries are damaged: ${names(bad)}; what was computed from them may be wrong. They are made anew when they are next asked for, or remove them: parscale cache remove NAME --yes`,
    { found: bad.map(({ name }) => name) },
  )
}

async function chosen(io: Io, name: string | undefined): Promise<CacheEntry[]> {
  const entries = await cacheEntries(cacheFolder(io.env))
  if (name === undefined) return entries
  const found = entries.filter((entry) => entry.name === name)
  if (found.length === 0)
    throw usageError(`cache: there is no entry ${JSON.stringify(name)}; parscale cache list names them`, { found: name })
  return found
}

/** Entries that lie within others go with them. */
const outermost = (entries: readonly CacheEntry[]): CacheEntry[] =>
  entries.filter(({ name }) => !entries.some((other) => name.startsWith(`${other.name}/`)))

const listed = ({ name, sizeBytes, lastUsed, state, source = 'unknown' }: CacheEntry): string[] => [
  name,
  formatAmount(sizeBytes, 'B'),
  lastUsed.toISOString().slice(0, 16).replace('T', ' '),
  state,
  source,
]

const names = (entries: readonly { readonly name: string }[]): string => entries.map(({ name }) => name).join(', ')

const total = (entries: readonly CacheEntry[]): string =>
  `${entries.length} ${entries.length === 1 ? 'entry' : 'entries'}, ${formatAmount(
    entries.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
    'B',
  )}`
