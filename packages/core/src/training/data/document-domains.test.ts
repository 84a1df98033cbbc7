import { describe, expect, it } from 'vitest'
import { bytesSource } from '../../checkpoint/byte-source.ts'
import { memorySink } from '../../checkpoint/testing/memory-sink.ts'
import { createRandom } from '../../random.ts'
import { documentDomains } from './document-domains.ts'
import { openTokenFile, type TokenFile } from './token-file.ts'
import { tokenFileWriter } from './token-file-writer.ts'

async function fileOf(documents: readonly (readonly number[])[], vocabSize: number): Promise<TokenFile> {
  const sink = memorySink()
  const writer = await tokenFileWriter(sink, { vocabSize, masked: false, tokenizer: 'abc' })
  for (const ids of documents) await writer.write({ ids: Uint32Array.from(ids) })
  await writer.finish(null)
  return await openTokenFile(bytesSource(sink.bytes(), 'x.tokens'))
}

/** Documents whose tokens are common to all or, every third, of the document's own kind. */
function corpus(kinds: number, count: number, lengthOf: (document: number) => number) {
  const random = createRandom(3)
  const kindOf = Array.from({ length: count }, (_, d) => (d * 7) % kinds)
  const documents = kindOf.map((kind, d) =>
    Array.from({ length: lengthOf(d) }, () => (random.below(3) === 0 ? 100 + 20 * kind + random.below(20) : random.below(100))),
  )
  return { kindOf, documents }
}

const loads = (documents: readonly (readonly number[])[], domains: Uint8Array, count: number) =>
  Array.from({ length: count }, (_, k) => documents.reduce((sum, { length }, d) => sum + (domains[d] === k ? length : 0), 0))

describe('documentDomains', () => {
  it.each([2, 4, 8])('finds %i kinds of text without labels', async (kinds) => {
    const { kindOf, documents } = corpus(kinds, 160, () => 300)
    const domains = await documentDomains(await fileOf(documents, 300), kinds, 1)
    const pairs = new Set(kindOf.map((kind, d) => `${kind} ${domains[d]}`))
    expect(pairs.size).toBe(kinds)
  })

  it('gives domains a fair share of the tokens where one kind is most of the text', async () => {
    const { documents } = corpus(1, 200, (d) => 50 + (d % 7) * 40)
    const domains = await documentDomains(await fileOf(documents, 300), 4, 1)
    const each = loads(documents, domains, 4)
    const fair = each.reduce((a, b) => a + b, 0) / 4
    for (const load of each) expect(load / fair).toBeGreaterThan(0.5)
    for (const load of each) expect(load / fair).toBeLessThan(1.6)
  })

  it('is the same for the same seed, which a run that goes on needs', async () => {
    const { documents } = corpus(3, 60, () => 100)
    const file = await fileOf(documents, 300)
    expect(await documentDomains(file, 4, 7)).toEqual(await documentDomains(file, 4, 7))
  })

  it('refuses fewer documents than domains', async () => {
    const file = await fileOf([[1, 2], [3]], 300)
    await expect(documentDomains(file, 4, 1)).rejects.toThrow(/2 documents.*4 streams/)
  })
})
