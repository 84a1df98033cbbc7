/** A process of ours and all below it, as /proc shows them from outside of the sandbox. */
import { readdir, readFile } from 'node:fs/promises'

const pageBytes = 4096

/** The process and its descendants. Empty once it has ended. */
export async function descendants(root: number): Promise<number[]> {
  const found = [root]
  for (const pid of found) {
    const threads = await readdir(`/proc/${pid}/task`).catch(() => [])
    for (const thread of threads) {
      const children = await readFile(`/proc/${pid}/task/${thread}/children`, 'utf8').catch(() => '')
      found.push(...children.split(' ').filter(Boolean).map(Number))
    }
  }
  return found
}

/** Of all of them together; pages that they share count once for each. */
export async function residentBytes(root: number): Promise<number> {
  let total = 0
  for (const pid of await descendants(root)) {
    const pages = (await readFile(`/proc/${pid}/statm`, 'utf8').catch(() => '')).split(' ')[1]
    total += Number(pages ?? 0) * pageBytes
  }
  return total
}
