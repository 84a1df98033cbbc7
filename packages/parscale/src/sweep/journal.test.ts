import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { Journal, type JournalEntry } from './journal.ts'

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'parscale-journal-'))
})
afterEach(() => rmSync(folder, { recursive: true }))

const left = (run: string): JournalEntry => ({ event: 'left', run })
const add = (journal: Journal, ...entries: JournalEntry[]) => journal.add(async () => ({ entries, value: undefined }))
const runs = async (journal: Journal) => (await journal.read()).map((line) => ('run' in line ? line.run : line.event))

it('gives each that adds all that came before, one after the other', async () => {
  const journals = Array.from({ length: 5 }, () => new Journal(folder))
  const seen: number[] = []
  await Promise.all(
    Array.from({ length: 50 }, (_, i) =>
      journals[i % 5]!.add(async (lines) => {
        seen.push(lines.length)
        return { entries: [left(String(i))], value: undefined }
      }),
    ),
  )
  expect(seen).toEqual(Array.from({ length: 50 }, (_, i) => i))
  for (const journal of [...journals, new Journal(folder)]) expect(await runs(journal)).toHaveLength(50)
})

it('reads each line once, though several ask at a time', async () => {
  await add(new Journal(folder), left('a'), left('b'))
  const journal = new Journal(folder)
  await Promise.all(Array.from({ length: 10 }, () => journal.read()))
  expect(await runs(journal)).toEqual(['a', 'b'])
})

it('leaves out half a line, and cuts it off where something is added', async () => {
  const [before, after] = [new Journal(folder), new Journal(folder)]
  expect(await before.read()).toEqual([])
  await add(before, left('a'))
  appendFileSync(before.path, '{"event":"finished","run":"b","loss":1')
  expect(await runs(before)).toEqual(['a'])
  expect(await runs(after)).toEqual(['a'])
  await add(after, left('c'))
  expect(await runs(before)).toEqual(['a', 'c'])
  expect(
    readFileSync(before.path, 'utf8')
      .split('\n')
      .map((line) => line && JSON.parse(line).run),
  ).toEqual(['a', 'c', ''])
})

it('adds nothing where the decision fails', async () => {
  const journal = new Journal(folder)
  await expect(journal.add(() => Promise.reject(new Error('no')))).rejects.toThrow('no')
  await add(journal, left('a'))
  expect(await runs(journal)).toEqual(['a'])
})

it.each(['nonsense', '{"run":"a"}', '[]', 'null'])('names a line that is damaged: %s', async (line) => {
  const journal = new Journal(folder)
  writeFileSync(journal.path, `${JSON.stringify({ ...left('a'), time: '' })}\n${line}\n`)
  await expect(journal.read()).rejects.toThrow(/journal\.jsonl, line 2: is damaged; remove that line/)
})
