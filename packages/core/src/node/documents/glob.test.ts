import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join, relative } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { matchingFiles } from './glob.ts'

const entries = ['a.txt', 'b.jsonl', 'b[1].txt', 'deep/c.txt', 'deep/down/d.txt', 'deep/down/e.md', '.hidden.txt', '.git/f.txt']
let folder: string

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'parscale-glob-'))
  for (const entry of entries) {
    await mkdir(dirname(join(folder, entry)), { recursive: true })
    await writeFile(join(folder, entry), 'x')
  }
  await symlink(join(folder, 'a.txt'), join(folder, 'link.txt'))
})
afterAll(() => rm(folder, { recursive: true }))

it.each([
  ['a.txt', ['a.txt']],
  ['b[1].txt', ['b[1].txt']], // a file of that name goes before a pattern
  ['*.txt', ['a.txt', 'b[1].txt', 'link.txt']],
  ['**/*.txt', ['a.txt', 'b[1].txt', 'deep/c.txt', 'deep/down/d.txt', 'link.txt']],
  ['deep/**', ['deep/c.txt', 'deep/down/d.txt', 'deep/down/e.md']],
  ['deep/**/*.{md,txt}', ['deep/c.txt', 'deep/down/d.txt', 'deep/down/e.md']],
  ['*/*/?.md', ['deep/down/e.md']],
  ['[ab].*', ['a.txt', 'b.jsonl']],
  ['[!a].*', ['b.jsonl']],
  ['.*/*.txt', ['.git/f.txt']],
  ['.h*', ['.hidden.txt']],
  ['', ['a.txt', 'b[1].txt', 'deep/c.txt', 'deep/down/d.txt', 'link.txt']], // the folder itself
  ['deep', ['deep/c.txt', 'deep/down/d.txt']],
])('%s', async (name, expected) => {
  const found = await matchingFiles(join(folder, name), (path) => path.endsWith('.txt'))
  expect(found.map((path) => relative(folder, path))).toEqual(expected)
})

it.each(['none.txt', '*.csv', 'none/*.txt', 'deep/down/**/x', 'b[', 'b{'])('%s leads to nothing', async (name) => {
  await expect(matchingFiles(join(folder, name), () => true)).rejects.toThrow('no such files')
})

it('a folder in which nothing is wanted: it is there, and a pattern takes what lies in it', async () => {
  await expect(matchingFiles(folder, () => false)).rejects.toThrow(/the folder has no files of a kind that is read; .*\*\.md/)
})

it.each(['x[z-a].txt', '[b-a]', '**/[9-0]*', '{a,[z-a]}', '[!z-a]x', '[\u{10ffff}-a]'])('%s is no pattern', async (name) => {
  await expect(matchingFiles(join(folder, name), () => true)).rejects.toMatchObject({
    kind: 'usage',
    message: expect.stringContaining('is no pattern of file names'),
  })
})
