import { spawnSync } from 'node:child_process'
import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { openWorkplace } from './workplace.ts'

test('what killed runs left is removed; what others use or kept stays', async () => {
  const cache = await mkdtemp(join(tmpdir(), 'parscale-workplace-'))
  const { pid: dead } = spawnSync(process.execPath, ['-e', ''])
  for (const name of [`run-${dead}`, `run-${process.ppid}`, 'kept'])
    await mkdir(join(cache, 'bench', name, 'model'), { recursive: true })
  const workplace = await openWorkplace(cache)
  await mkdir(workplace.temporary)
  expect((await readdir(workplace.folder)).sort()).toEqual(['kept', `run-${process.pid}`, `run-${process.ppid}`].sort())
  await workplace.close()
  expect((await readdir(workplace.folder)).sort()).toEqual(['kept', `run-${process.ppid}`])
  await rm(cache, { recursive: true })
})
