/** Grammars are compiled so that the server answers others in between. */
import { setImmediate } from 'node:timers/promises'
import { expect, it } from 'vitest'
import { TextModel } from '../generation/index.ts'
import { fakeEngine } from '../generation/testing/fake-decoder.ts'
import { byteTokenizerFiles } from '../tokenizer/byte-tokenizer.ts'
import { createTokenizer } from '../tokenizer/index.ts'
import { grammarConstraints } from './grammars.ts'

it('serves others between two grammars that come at once', async () => {
  const { engine } = fakeEngine({ ragged: true, p: [1], vocabSize: 258, context: 100 })
  const text = new TextModel(engine.model, createTokenizer(byteTokenizerFiles(['<begin>', '<end>'])))
  const constrain = grammarConstraints()
  const order: string[] = []
  const compiled = ['a+', 'b+', 'c+'].map(async (pattern) => {
    await constrain(text, { kind: 'regex', pattern })
    order.push(pattern)
    await setImmediate()
    order.push('others')
  })
  await Promise.all(compiled)
  expect(order).toEqual(['a+', 'others', 'b+', 'others', 'c+', 'others'])
})
