import fc from 'fast-check'
import { expect, test } from 'vitest'
import { parseListing } from './listing.ts'

const sha = 'a'.repeat(40)
const parse = (body: unknown) => parseListing(JSON.stringify(body), 'http://hub/api')

test('large files carry the SHA-256 of their content, small ones their git blob id', () => {
  const large = {
    rfilename: 'm.safetensors',
    size: 7,
    blobId: 'b'.repeat(40),
    lfs: { sha256: 'C'.repeat(64), size: 7, pointerSize: 1 },
  }
  const small = { rfilename: 'config.json', size: 5, blobId: 'd'.repeat(40) }
  expect(parse({ sha, siblings: [large, small, { rfilename: 'bare' }] })).toEqual({
    commit: sha,
    files: [
      { path: 'm.safetensors', metadata: { sizeBytes: 7, hash: { algorithm: 'sha256', hex: 'c'.repeat(64) } } },
      { path: 'config.json', metadata: { sizeBytes: 5, hash: { algorithm: 'git-sha1', hex: 'd'.repeat(40) } } },
      { path: 'bare', metadata: undefined },
    ],
  })
})

test.each([
  ['<html>', /expected JSON.*is HF_ENDPOINT a Hugging Face hub/],
  ['null', /expected a commit/],
  ['{"sha":"../../etc"}', /expected a commit/],
  [`{"sha":"${sha}"}`, /expected a list of files/],
  [`{"sha":"${sha}","siblings":[{}]}`, /expected a name in "rfilename"/],
  [`{"sha":"${sha}","siblings":[{"rfilename":"../x"}]}`, /expected plain relative file names/],
])('%s is refused', (text, message) => {
  expect(() => parseListing(text, 'http://hub/api')).toThrow(message)
})

test('sizes and hashes that make no sense are not taken', () => {
  for (const bad of [{ size: -1 }, { size: 1.5 }, { size: '1' }, { blobId: '../../x' }, { lfs: { sha256: 'zz' } }]) {
    const [file] = parse({ sha, siblings: [{ rfilename: 'x', size: 1, blobId: sha, ...bad }] }).files
    expect(file?.metadata).toBeUndefined()
  }
})

test('any JSON gives a listing or a hub error', () => {
  const entry = fc.record(
    { rfilename: fc.anything(), size: fc.anything(), blobId: fc.anything(), lfs: fc.anything() },
    { requiredKeys: [] },
  )
  const body = fc.oneof(
    fc.json(),
    fc.record({ sha: fc.constant(sha), siblings: fc.array(entry) }).map((value) => JSON.stringify(value)),
  )
  fc.assert(
    fc.property(body, (text) => {
      try {
        expect(parseListing(text, 'http://hub/api').commit).toBe(sha)
      } catch (error) {
        expect(error).toMatchObject({ kind: 'hub' })
      }
    }),
    { numRuns: 2_000 },
  )
})
