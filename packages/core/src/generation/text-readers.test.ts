/** Readers of text who are slower than the engine, and some who leave. */
import { describe, expect, it } from 'vitest'
import { byteTokenizerFiles } from '../tokenizer/byte-tokenizer.ts'
import { createTokenizer } from '../tokenizer/index.ts'
import { type Engine, TextModel } from './index.ts'
import { fakeEngine } from './testing/fake-decoder.ts'

const turns = async (engine: Engine, count: number) => {
  for (let i = 0; i < count; i++) await engine.turn(() => {})
}

describe('readers of text', () => {
  const tokenizer = createTokenizer(byteTokenizerFiles(['<begin>', '<end>']))

  it('gives a reader who does not read the text in few pieces, and holds up nobody', async () => {
    const { engine, decoder } = fakeEngine({ ragged: true })
    const text = new TextModel(engine.model, tokenizer)
    const options = { temperature: 0, maxTokens: 120 }
    const expected = await text.generate('A', options)
    const stream = text.stream('A', options)
    const first = await stream.next()
    // Reads no more; another comes, is read, and ends.
    const other = await text.generate('B', options)
    expect(other.text.length).toBeGreaterThan(90)
    while (decoder.openRows > 0) await turns(text.engine, 1)
    const pieces = [first.value as { text: string; tokens: readonly { id: number }[] }]
    for (;;) {
      const { done, value } = await stream.next()
      if (done) {
        expect(value).toEqual(expected)
        break
      }
      pieces.push(value)
    }
    expect(pieces.length).toBeLessThanOrEqual(18)
    expect(pieces.map((piece) => piece.text).join('')).toBe(expected.text)
    expect(pieces.flatMap((piece) => piece.tokens)).toEqual(expected.tokens)
  })

  it('frees the rows of a reader who leaves early', async () => {
    const { engine, decoder } = fakeEngine({ ragged: true })
    const text = new TextModel(engine.model, tokenizer)
    for await (const _ of text.stream('A', { temperature: 0, maxTokens: 4000, logitBias: new Map([[257, -Infinity]]) })) break
    await turns(text.engine, 3)
    expect(decoder.openRows).toBe(0)
    expect(text.scheduler.counters.running).toBe(0)
    expect(decoder.steps.length).toBeLessThan(12)
  })
})
