import { isAbsolute, join, relative, sep } from 'node:path'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { checkRepoId, checkRevision, isSafeFileName, quote } from './names.ts'

/** Text with many of the characters that paths are made of. */
const pathText = fc.oneof(
  fc.string(),
  fc.string({ unit: 'binary' }),
  fc
    .array(fc.constantFrom('..', '.', '/', '\\', 'a', 'C:', '\0', '-', '\n', '%2e'), { maxLength: 8 })
    .map((parts) => parts.join('')),
)

function accepts(check: (text: string) => string, text: string): boolean {
  try {
    return check(text) === text
  } catch (error) {
    expect(error).toMatchObject({ kind: 'usage' })
    return false
  }
}

const staysInside = (text: string) => {
  const folder = join(sep, 'cache', 'folder')
  const inside = relative(folder, join(folder, text))
  return inside !== '' && inside.split(sep)[0] !== '..' && !isAbsolute(inside) && !text.includes('\0')
}

test('whatever is accepted stays inside the folder it is joined to', () => {
  fc.assert(
    fc.property(pathText, (text) => {
      if (accepts(checkRepoId, text) || accepts(checkRevision, text) || isSafeFileName(text)) expect(staysInside(text)).toBe(true)
    }),
    { numRuns: 5_000 },
  )
})

test.each(['gpt2', 'ParScale/ParScale-1.8B-P8', 'Qwen/Qwen2.5-0.5B', 'a_b/c.d-e'])('repository %s is accepted', (text) => {
  expect(checkRepoId(text)).toBe(text)
})

test.each(['', '/', 'a/b/c', '../a', 'a/..', 'a--b/c', '-a/b', 'a/b.', 'a./b', 'https://hub/a', 'a b', `a/${'b'.repeat(99)}`])(
  'repository %j is refused',
  (text) => {
    expect(() => checkRepoId(text)).toThrow(/expected ORG\/NAME/)
  },
)

test.each(['main', 'v1.0', 'refs/pr/3', 'feature/x', 'f'.repeat(40)])('revision %s is accepted', (text) => {
  expect(checkRevision(text)).toBe(text)
})

test.each(['', '..', 'a/../b', '/main', 'main/', 'a b', '.hidden', '-x'])('revision %j is refused', (text) => {
  expect(() => checkRevision(text)).toThrow(/expected a branch, tag or commit/)
})

test.each(['config.json', 'sub/folder/model.safetensors', 'logs/12:00.txt', 'ünï.md'])('file %j is accepted', (name) => {
  expect(isSafeFileName(name)).toBe(true)
})

test.each(['', '.', '..', 'a//b', 'a/', '/a', 'a/../b', 'a\\b', 'C:a', 'a\u0000', 'a\nb', 'a'.repeat(256)])(
  'file %j is refused',
  (name) => {
    expect(isSafeFileName(name)).toBe(false)
  },
)

test('foreign text in a message cannot drive the terminal', () => {
  expect(quote('\u001b[2Jx\u009b')).toBe('"\\u001b[2Jx\\u009b"')
  expect(quote('a'.repeat(1000))).toHaveLength(205)
})
