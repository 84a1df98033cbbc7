import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { lastCacheBytes, linuxCacheBytes, macCacheBytes } from './last-cache.ts'

const MiB = 2 ** 20

/** Files as Linux writes them, of the caches of each processor: level, type, size, who shares it. */
async function withCaches<T>(
  processors: readonly (readonly (readonly [string, string, string, string])[])[],
  work: (folder: string) => Promise<T>,
): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), 'parscale-caches-'))
  try {
    mkdirSync(join(folder, 'cpufreq'))
    for (const [cpu, caches] of processors.entries()) {
      for (const [index, [level, type, size, shared]] of caches.entries()) {
        const of = join(folder, `cpu${cpu}`, 'cache', `index${index}`)
        mkdirSync(of, { recursive: true })
        for (const [name, text] of Object.entries({ level, type, size, shared_cpu_list: shared }))
          writeFileSync(join(of, name), `${text}\n`)
      }
    }
    return await work(folder)
  } finally {
    rmSync(folder, { recursive: true })
  }
}

const own = (cpu: string) =>
  [
    ['1', 'Data', '48K', cpu],
    ['1', 'Instruction', '32K', cpu],
    ['2', 'Unified', '1024K', cpu],
  ] as const

test('Linux: a last cache that all share, two of them, none of a third level, nothing at all', async () => {
  const shared = (list: string, size: string) => ['3', 'Unified', size, list] as const
  expect(
    await withCaches(
      [
        [...own('0'), shared('0-1', '32768K')],
        [...own('1'), shared('0-1', '32768K')],
      ],
      linuxCacheBytes,
    ),
  ).toBe(32 * MiB)
  expect(
    await withCaches(
      [
        [...own('0'), shared('0', '16M')],
        [...own('1'), shared('1', '16M')],
      ],
      linuxCacheBytes,
    ),
  ).toBe(32 * MiB)
  expect(await withCaches([own('0'), own('1')], linuxCacheBytes)).toBe(2 * MiB)
  expect(await withCaches([[['3', 'Unified', 'much', '0']]], linuxCacheBytes)).toBeUndefined()
  expect(await withCaches([], linuxCacheBytes)).toBeUndefined()
  expect(await linuxCacheBytes('/nowhere')).toBeUndefined()
})

test('macOS: the largest number that sysctl prints', () => {
  expect(macCacheBytes('16777216\n4194304\n')).toBe(16 * MiB)
  expect(macCacheBytes('0\n12582912\n')).toBe(12 * MiB)
  expect(macCacheBytes('')).toBeUndefined()
})

test('this machine says something sensible, or nothing', async () => {
  const bytes = await lastCacheBytes()
  if (bytes !== undefined) expect(bytes).toBeGreaterThanOrEqual(2 ** 16)
})
