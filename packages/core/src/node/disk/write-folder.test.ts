import { mkdir, mkdtemp, open, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { jsonBytes } from '../../checkpoint/json-text.ts'
import type { TensorStream } from '../../checkpoint/tensor-stream.ts'
import type { FolderContents } from '../../contents/folder-contents.ts'
import { fileSink } from './whole-file.ts'
import { writeModelFolder } from './write-folder.ts'

let scratch: string
let target: string
beforeEach(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'parscale-'))
  target = join(scratch, 'model')
})
afterEach(() => rm(scratch, { recursive: true }))

/** A model of one tensor with three chunks; `between` runs before the second. */
function contents(between: () => Promise<void> | void = () => {}): FolderContents {
  const tensor: TensorStream = {
    name: 'a',
    dtype: 'F32',
    shape: [3],
    async *chunks() {
      yield new Uint8Array(4)
      await between()
      yield new Uint8Array(4)
      yield new Uint8Array(4)
    },
  }
  return { files: new Map([['config.json', jsonBytes({ a: 1 })]]), tensors: [tensor] }
}

it('writes everything, reports progress, and leaves nothing beside it', async () => {
  const progress: number[] = []
  await writeModelFolder(target, contents(), { onProgress: ({ doneBytes, totalBytes }) => progress.push(doneBytes, totalBytes) })
  expect((await readdir(target)).sort()).toEqual(['config.json', 'model.safetensors'])
  expect(await readFile(join(target, 'config.json'), 'utf8')).toBe('{\n  "a": 1\n}\n')
  expect(progress).toEqual([4, 12, 8, 12, 12, 12])
  expect(await readdir(scratch)).toEqual(['model'])
})

it('is not there before it is complete', async () => {
  let seen: string[] = []
  await writeModelFolder(
    target,
    contents(async () => {
      seen = await readdir(scratch)
    }),
  )
  expect(seen).toEqual([expect.stringMatching(/^\.model\.partial-/)])
})

it('makes parents, and takes the place of an empty folder', async () => {
  await mkdir(join(scratch, 'deep', 'er'), { recursive: true })
  await writeModelFolder(join(scratch, 'deep', 'er'), contents())
  await writeModelFolder(join(scratch, 'some', 'where'), contents())
  expect(await readdir(join(scratch, 'deep', 'er'))).toHaveLength(2)
  expect(await readdir(join(scratch, 'some', 'where'))).toHaveLength(2)
})

describe('leaves nothing behind and touches nothing', () => {
  it('where the target is taken', async () => {
    await mkdir(target)
    await writeFile(join(target, 'precious'), 'x')
    await expect(writeModelFolder(target, contents())).rejects.toMatchObject({
      kind: 'usage',
      message: expect.stringContaining('is not empty'),
    })
    const file = join(scratch, 'file')
    await writeFile(file, 'x')
    await expect(writeModelFolder(file, contents())).rejects.toMatchObject({
      kind: 'usage',
      message: expect.stringContaining('is a file'),
    })
    expect(await readdir(target)).toEqual(['precious'])
    expect((await readdir(scratch)).sort()).toEqual(['file', 'model'])
  })

  it('where somebody takes the target meanwhile', async () => {
    const theirs = contents(async () => {
      await mkdir(target)
      await writeFile(join(target, 'theirs'), 'x')
    })
    await expect(writeModelFolder(target, theirs)).rejects.toThrow(/was made by somebody else meanwhile/)
    expect(await readdir(scratch)).toEqual(['model'])
    expect(await readdir(target)).toEqual(['theirs'])
  })

  it('when aborted', async () => {
    const controller = new AbortController()
    const writing = writeModelFolder(
      target,
      contents(() => controller.abort()),
      { signal: controller.signal },
    )
    await expect(writing).rejects.toThrow(expect.objectContaining({ name: 'AbortError' }))
    expect(await readdir(scratch)).toEqual([])
  })

  it('when a source fails', async () => {
    const failing = contents(() => {
      throw new Error('the other disk is on fire')
    })
    await expect(writeModelFolder(target, failing)).rejects.toThrow('the other disk is on fire')
    expect(await readdir(scratch)).toEqual([])
  })

  // /dev/full answers every write as a full disk does. A file system that is really full: write-folder.real.test.ts.
  it.runIf(process.platform === 'linux')('when the disk is full', async () => {
    const full = contents(async () => {
      const device = await open('/dev/full', 'w')
      await fileSink(device)
        .write(new Uint8Array(1))
        .finally(() => device.close())
    })
    await expect(writeModelFolder(target, full)).rejects.toMatchObject({
      kind: 'resource',
      message: expect.stringContaining('the disk is full; nothing was left behind'),
    })
    expect(await readdir(scratch)).toEqual([])
  })
})
