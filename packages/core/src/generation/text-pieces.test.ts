/** The text of an answer is what prompt and answer are together without the prompt, also for SentencePiece tokenizers. */
import { expect, it } from 'vitest'
import { readFixture } from '../tokenizer/testing/fixtures.ts'
import { createTokenizer } from '../tokenizer/tokenizer.ts'
import { joinChunks, TextPieces, type TextToken } from './text-pieces.ts'

const token = (id: number) => ({ id, logProbability: 0, topLogprobs: [], streamWeights: new Float32Array(1) })

it.each(['llama-spm', 'metaspace-first', 'metaspace-split'])('%s keeps the first space and finds a stop text with it', (name) => {
  const tokenizer = createTokenizer({ tokenizerJson: readFixture(`${name}.tokenizer.json`) })
  const prompt = tokenizer.encode('The capital')
  const [of, the] = ['▁of', '▁the'].map((piece) => tokenizer.idOf(piece)!)
  const answer = (stop: string[]) => {
    const pieces = new TextPieces(tokenizer, prompt, stop, () => {})
    const ended = [of!, the!].map((id) => pieces.push(token(id)))
    pieces.end()
    return { text: pieces.text, ended, stop: pieces.stopString }
  }
  expect(answer([])).toEqual({ text: ' of the', ended: [false, false], stop: null })
  expect(answer([' of'])).toMatchObject({ text: '', stop: ' of' })
  // A prompt of nothing but what the post-processor adds: the text begins here, and its first space is none.
  const alone = new TextPieces(
    tokenizer,
    tokenizer.encode('').filter((id) => tokenizer.isSpecial(id)),
    [],
    () => {},
  )
  alone.push(token(of!))
  alone.end()
  expect(alone.text).toBe('of')
})

it('joins pieces that nobody has read without a copy of what is there', () => {
  const piece = (id: number) => ({
    text: `${id}`,
    tokens: [{ id, text: `${id}`, logProbability: 0, streamWeights: [] } as TextToken],
  })
  const held = piece(0)
  const { tokens } = held
  const joined = [1, 2, 3].map(piece).reduce(joinChunks, held)
  expect(joined.text).toBe('0123')
  expect(joined.tokens.map(({ id }) => id)).toEqual([0, 1, 2, 3])
  expect(joined.tokens).toBe(tokens)
})
