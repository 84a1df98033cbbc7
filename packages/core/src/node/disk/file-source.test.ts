import { appendFile, mkdtemp, open, rename, rm, symlink, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { openFileSource } from './file-source.ts'

let folder: string
const bytes = Uint8Array.from({ length: 1000 }, (_, i) => i % 251)

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'parscale-'))
  await writeFile(join(folder, 'file'), bytes)
  await symlink('file', join(folder, 'link'))
})
afterAll(() => rm(folder, { recursive: true }))

it('reads any range, and nothing outside', async () => {
  const source = await openFileSource(join(folder, 'file'))
  expect(source.size).toBe(1000)
  expect(await source.read(0, 1000)).toEqual(bytes)
  expect(await source.read(993, 7)).toEqual(bytes.slice(993))
  expect(await source.read(1000, 0)).toEqual(new Uint8Array(0))
  for (const [offset, length] of [
    [994, 7],
    [-1, 2],
    [0, -1],
    [Number.NaN, 1],
  ] as const) {
    await expect(source.read(offset, length)).rejects.toThrow(/lie outside the 1000 there are/)
  }
  await source.close()
})

it('knows the real path behind a link', async () => {
  const source = await openFileSource(join(folder, 'link'))
  const real = await openFileSource(join(folder, 'file'))
  expect(source.name).toBe(join(folder, 'link'))
  expect(source.path).toBe(real.path)
  await source.close()
  await real.close()
})

it('reads behind the first 4 GiB', async () => {
  const path = join(folder, 'sparse')
  await writeFile(path, '')
  await truncate(path, 5 * 2 ** 30)
  const end = await open(path, 'r+')
  await end.write(bytes, 0, 7, 5 * 2 ** 30 - 7)
  await end.close()
  const source = await openFileSource(path)
  expect(await source.read(5 * 2 ** 30 - 8, 8)).toEqual(Uint8Array.of(0, 0, 1, 2, 3, 4, 5, 6))
  await source.close()
})

it('notices a file that shrinks while it is open', async () => {
  const path = join(folder, 'shrinking')
  await writeFile(path, bytes)
  const source = await openFileSource(path)
  await truncate(path, 500)
  await expect(source.read(400, 200)).rejects.toThrow(`${path}: ended at byte 500 while being read; did it change?`)
  await source.close()
})

it('notices a file that is changed or replaced while it is open', async () => {
  const path = join(folder, 'changing')
  const message = `${path}: was changed while it was being read; load it again once it is whole, and replace files by renaming`
  const opened = async () => {
    await writeFile(path, bytes)
    return await openFileSource(path)
  }
  const change = async () => {
    await sleep(20) // the file system's clock
    const file = await open(path, 'r+')
    await file.write(Uint8Array.of(7), 0, 1, 999)
    await file.close()
  }
  for (const touched of [change, () => appendFile(path, 'more')]) {
    const source = await opened()
    expect(await source.read(0, 9)).toEqual(bytes.slice(0, 9))
    await source.mustBeUnchanged()
    await touched()
    await expect(source.read(0, 9)).rejects.toMatchObject({ kind: 'checkpoint', message })
    await expect(source.mustBeUnchanged()).rejects.toThrow(message)
    await source.close()
  }
  const source = await opened()
  await writeFile(`${path}.new`, bytes)
  await rename(`${path}.new`, path)
  // What is read here is still the file that was opened; who opens the path now gets another one.
  expect(await source.read(0, 1000)).toEqual(bytes)
  await expect(source.mustBeUnchanged()).rejects.toThrow(message)
  await rm(path)
  await source.mustBeUnchanged()
  await source.close()
})

it('refuses what is no file, or is not there', async () => {
  await expect(openFileSource(folder)).rejects.toThrow(`${folder}: expected a file, found something else`)
  await expect(openFileSource(join(folder, 'nothing'))).rejects.toThrow(/cannot be opened \(ENOENT\); check the path/)
})
