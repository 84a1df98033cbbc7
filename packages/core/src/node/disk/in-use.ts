/**
 * Which folders running processes use: each has a file `.in-use.partial-PID-...` in it until the process ends. The name says whose
 * it is, as with all partial files, so that what a killed process left is told from what is in use.
 */
import { existsSync, rmSync, writeFileSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import process from 'node:process'
import { keepTouched } from './owner.ts'
import { ownerRuns, partialPath, partialPrefix, removeLeftovers } from './partial.ts'

const name = 'in-use'
/** By folder: the mark, and what stops touching it. */
const mine = new Map<string, { readonly path: string; readonly stopTouching: () => void }>()
let listens = false

/** Marks a folder as used until this process ends. Where nothing can be written there is no mark. */
export async function markInUse(folder: string): Promise<void> {
  for (const [marked, { path, stopTouching }] of mine) {
    if (existsSync(path)) continue
    stopTouching() // with its folder
    mine.delete(marked)
  }
  if (mine.has(folder)) return
  await removeLeftovers(folder)
  const path = partialPath(join(folder, name))
  try {
    writeFileSync(path, '')
  } catch {
    return
  }
  if (!listens) process.once('exit', removeMarks)
  listens = true
  mine.set(folder, { path, stopTouching: keepTouched(path) })
}

function removeMarks(): void {
  for (const { path } of mine.values()) {
    try {
      rmSync(path, { force: true })
    } catch {
      // whoever marks the folder next removes it
    }
  }
}

/** Whether a process runs that uses the folder: another one than this. */
export async function isInUse(folder: string): Promise<boolean> {
  const own = partialPath(join(folder, name)).replace(/[^-]*$/, '')
  for (const file of await readdir(folder).catch((): string[] => [])) {
    const path = join(folder, file)
    if (file.startsWith(partialPrefix(name)) && !path.startsWith(own) && (await ownerRuns(path))) return true
  }
  return false
}
