import { spawnSync } from 'node:child_process'
import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { openWorkplace } from './workplace.ts'

test('what killed runs left is removed; what others use or kept stays', async () => {
  const cache = await mkdtemp(join(tmpdir(), 'parscale-workplace-'))
  const workplaceModule = JSON.stringify(fileURLToPath(new URL('./workplace.ts', import.meta.url)))
  const script = `import { openWorkplace } from ${workplaceModule}
    console.log((await openWorkplace(${JSON.stringify(cache)})).temporary())`
  const args = ['--import', 'tsx', '--conditions=source', '--input-type=module', '-e', script]
  const dead = basename(spawnSync(process.execPath, args, { encoding: 'utf8' }).stdout.trim())
  const other = await openWorkplace(cache)
  const living = basename(other.temporary())
  expect(new Set([dead, living]).size).toBe(2)
  for (const name of [dead, living, 'kept']) await mkdir(join(cache, 'bench', name, 'model'), { recursive: true })
  const workplace = await openWorkplace(cache)
  await mkdir(workplace.temporary())
  expect((await readdir(workplace.folder)).sort()).toEqual(['kept', basename(workplace.temporary()), living].sort())
  await workplace.close()
  expect((await readdir(workplace.folder)).sort()).toEqual([living, 'kept'])
  await other.close()
  await rm(cache, { recursive: true })
})
