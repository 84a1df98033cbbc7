/** Special tokens that are found in normalized text, also where some of the text is a stranger's. */
import { describe, expect, it } from 'vitest'
import { readFixture } from './testing/fixtures.ts'
import { createTokenizer } from './tokenizer.ts'

interface TokenizerFile extends Record<string, unknown> {
  readonly added_tokens: object[]
}
const withToken = (name: string, token: object) => {
  const json = readFixture(`${name}.tokenizer.json`) as TokenizerFile
  return createTokenizer({
    tokenizerJson: { ...json, added_tokens: [...json.added_tokens, { id: 2000, special: true, normalized: true, ...token }] },
  })
}
const specialOnly = { allowSpecial: true, addSpecial: false }

describe('a special token that normalizing makes', () => {
  const tokenizer = withToken('qwen2', { content: 'Größe!' })
  const composed = 'x Größe! y'
  const decomposed = composed.normalize('NFD')

  it('is one, as in the reference', () => {
    for (const text of [composed, decomposed]) expect(tokenizer.encode(text, specialOnly)).toContain(2000)
  })

  it('is none in text of which some is not trusted, unless it is written so', () => {
    const isSpecial = () => true
    expect(tokenizer.encode(composed, { ...specialOnly, isSpecial })).toContain(2000)
    expect(tokenizer.encode(decomposed, { ...specialOnly, isSpecial })).not.toContain(2000)
  })

  it('is none where it may not be one', () => {
    expect(tokenizer.encode(composed, { ...specialOnly, isSpecial: () => false })).not.toContain(2000)
    const second = `${composed} ${composed}`
    const ids = tokenizer.encode(second, { ...specialOnly, isSpecial: (start) => start > 10 })
    expect(ids.filter((id) => id === 2000)).toHaveLength(1)
  })
})

it.each(['<end>', 'the end', ' <end> '])('a normalizer that puts a mark before %j finds it in the same places', (content) => {
  const tokenizer = withToken('llama-spm', { content, lstrip: content === 'the end' })
  for (const text of [content, `a${content}b`, `a ${content} b`, `${content}${content}`, ` ${content}\n${content}`]) {
    const guarded = tokenizer.encode(text, { ...specialOnly, isSpecial: () => true })
    expect(guarded).toEqual(tokenizer.encode(text, specialOnly))
  }
})
