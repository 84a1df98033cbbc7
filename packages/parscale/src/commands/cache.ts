/** `parscale cache`: what was unpacked, quantised, packed and tokenized; whether it is still what was written; and its removal. */
import { type Command, InvalidArgumentError } from '@commander-js/extra-typings'
import { checkpointError, usageError } from '@parscale/core/internal'
import { type CacheEntry, cacheEntries, removeEntry, tidyCache, verifyEntry } from '@parscale/core/internal/node/models'
import { hubDownloads } from '../hub/downloads.ts'
import { cacheFolder } from '../load/find-model.ts'
import { confirm } from '../terminal/confirm.ts'
import type { Io } from '../terminal/io.ts'
import { saidAsData } from '../terminal/said-as-data.ts'
import { textTable } from '../terminal/text-table.ts'
import { downloadTable, entryTable, isOf, names, shortName, total } from './cache-report.ts'

const examples = `
Examples:
  parscale cache list                         what is there, made of what, how large
  parscale cache verify                       reads all of it; exit code 3 when a bit has flipped
  parscale cache remove model.gguf            what was made of this file
  parscale cache remove --unused-for 30d      what nobody used for so long (h, d or w)
  parscale cache remove --all --yes           without asking

The cache lies in PARSCALE_CACHE, else in the platform's cache folder. All that is in it is made anew when it is needed; models
of the same content share what was made of them. What a running process uses stays.
Models of the hub lie in a folder that other libraries share. They are listed, and never removed.`

export function register(command: Command, io: Io): void {
  command.addHelpText('after', examples)
  command
    .command('path')
    .description("print the cache's folder")
    .action(() => io.stdout(`${cacheFolder(io.env)}\n`))
  command
    .command('list')
    .description('what is in the cache, what it was made of, its size and when it was last used')
    .option('--json', 'print JSON: entries, hub, totals in bytes')
    .action(({ json }) => list(io, json))
  command
    .command('verify')
    .description('read what is in the cache and compare it with the hashes that were written with it')
    .argument('[name]', 'only this entry, or those made of this model')
    .option('--json', 'print a JSON array')
    .action((name, { json }) => verify(io, name, json))
  command
    .command('remove')
    .description('remove an entry, those made of a model, those that are old, or all')
    .argument('[name]', 'an entry as parscale cache list names it, or the file or folder that entries were made of')
    .option('--unused-for <time>', 'every entry that was not used for so long: 12h, 30d, 2w', duration)
    .option('--outdated', 'every entry that an earlier version made, and this one does not read')
    .option('--all', 'every entry')
    .option('--yes', 'do not ask')
    .option('--json', 'print a JSON array of what was removed')
    .action((name, flags) => remove(io, name, flags))
}

async function list(io: Io, json: true | undefined): Promise<void> {
  const folder = cacheFolder(io.env)
  const [entries, hub] = [await cacheEntries(folder), await hubDownloads({ env: io.env })]
  if (json) {
    const sum = (sizes: readonly { readonly sizeBytes: number }[]) => sizes.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
    io.stdout(`${JSON.stringify({ folder, entries, sizeBytes: sum(entries), hub, hubBytes: sum(hub) }, null, 2)}\n`)
    return
  }
  if (entries.length > 0) io.stdout(entryTable(entries, io.columns))
  io.stderr(`${total(entries)} in ${folder}\n`)
  const outdated = entries.filter(({ state }) => state === 'outdated')
  if (outdated.length > 0)
    io.stderr(`an earlier version made ${total(outdated)}, which this one does not read: parscale cache remove --outdated\n`)
  if (hub.length > 0) io.stderr(`models of the hub, apart from that:\n${downloadTable(hub, io.columns)}`)
}

async function verify(io: Io, name: string | undefined, json: true | undefined): Promise<void> {
  const entries = await chosen(io, name)
  const sizeBytes = entries.reduce((sum, entry) => sum + entry.sizeBytes, 0)
  const progress = io.progress('verifying', 'B')
  let doneBytes = 0
  type State = CacheEntry['state'] | 'without hashes'
  const rows: { name: string; state: State; found: string | undefined }[] = []
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
      textTable([['NAME', 'STATE', 'FOUND'], ...rows.map((row) => [shortName(row.name), row.state, row.found ?? ''])], {
        width: io.columns,
      }),
    )
  const bad = rows.filter(({ state }) => state === 'damaged' || state === 'incomplete')
  if (bad.length === 0) return io.stderr(`${rows.length} entries, none damaged\n`)
  throw saidAsData(
    checkpointError(
      `cache: ${bad.length} of ${rows.length} entries are damaged: ${names(bad)}; what was computed from them may be wrong. They are made anew when they are next asked for, or remove them: parscale cache remove NAME --yes`,
      { found: bad.map(({ name }) => name) },
    ),
  )
}

interface RemoveFlags {
  readonly unusedFor?: number | undefined
  readonly outdated?: true | undefined
  readonly all?: true | undefined
  readonly yes?: true | undefined
  readonly json?: true | undefined
}

async function remove(io: Io, name: string | undefined, { unusedFor, outdated, all, yes, json }: RemoveFlags): Promise<void> {
  if ([name, unusedFor, outdated, all].filter((choice) => choice !== undefined).length !== 1)
    throw usageError('cache remove: expected one of NAME, --unused-for, --outdated and --all', { flag: '--all' })
  const wanted = (await chosen(io, name)).filter(
    ({ lastUsed, state }) =>
      (unusedFor === undefined || Date.now() - lastUsed.getTime() > unusedFor) && (!outdated || state === 'outdated'),
  )
  const entries = wanted.filter(({ inUse }) => !inUse)
  const sayUsed = (used: readonly CacheEntry[]) => {
    if (used.length > 0) io.stderr(`in use by a running process, so it stays: ${names(used)}\n`)
  }
  sayUsed(wanted.filter(({ inUse }) => inUse))
  if (!yes && entries.length > 0) {
    const answer = await confirm(io, `remove ${total(entries)}: ${names(entries)}?`)
    if (answer === undefined)
      throw usageError(`would remove ${total(entries)}: ${names(entries)}; to do it, add --yes`, { flag: '--yes' })
    if (!answer) return io.stderr('nothing was removed\n')
  }
  const removed: CacheEntry[] = []
  for (const entry of entries) if (await removeEntry(entry, io.signal)) removed.push(entry)
  sayUsed(entries.filter((entry) => !removed.includes(entry)))
  await tidyCache(cacheFolder(io.env))
  if (json) io.stdout(`${JSON.stringify(removed, null, 2)}\n`)
  io.stderr(`removed ${total(removed)}\n`)
}

async function chosen(io: Io, name: string | undefined): Promise<CacheEntry[]> {
  const entries = await cacheEntries(cacheFolder(io.env))
  if (name === undefined) return entries
  const found = entries.filter((entry) => isOf(entry, name))
  if (found.length === 0)
    throw usageError(`cache: there is no entry ${JSON.stringify(name)}; parscale cache list names them`, { found: name })
  return found
}

const hours = { h: 1, d: 24, w: 7 * 24 }

/** `30d` in milliseconds. */
function duration(text: string): number {
  const [, count, unit] = /^(\d{1,6})([hdw])$/.exec(text) ?? []
  if (!unit) throw new InvalidArgumentError('it must be a number of hours, days or weeks, such as 12h, 30d or 2w.')
  return Number(count) * hours[unit as keyof typeof hours] * 3_600_000
}
