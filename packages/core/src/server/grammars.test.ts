/** Grammars are compiled in pieces, so that the server answers others in between, and each once. */
import { setImmediate } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { beforeEach, expect, it, vi } from 'vitest'
import { TextModel, TokenVocabulary } from '../generation/index.ts'
import { fakeEngine } from '../generation/testing/fake-decoder.ts'
import { byteTokenizerFiles } from '../tokenizer/byte-tokenizer.ts'
import { createTokenizer } from '../tokenizer/index.ts'
import type { Constrain, Demand } from './context.ts'
import { grammarConstraints } from './grammars.ts'

let text: TextModel
let constrain: Constrain
beforeEach(() => {
  const { engine } = fakeEngine({ ragged: true, p: [1], vocabSize: 258, context: 100 })
  text = new TextModel(engine.model, createTokenizer(byteTokenizerFiles(['<begin>', '<end>'])))
  constrain = grammarConstraints()
})

const regex = (pattern: string): Demand => ({ kind: 'regex', pattern })
/** Millions of steps. */
const heavy = (letter: string) => regex(`(${letter}|b)*${letter}(${letter}|b){11}`)
const refused: Demand = { kind: 'schema', schema: { uniqueItems: true } }

it('serves others while large grammars are compiled, and small ones before these', async () => {
  const order: string[] = []
  const large = ['x', 'y', 'z'].map(async (letter) => {
    await constrain(text, heavy(letter))
    order.push('large')
  })
  const small = async () => {
    await constrain(text, regex('a+'))
    order.push('small')
    await setImmediate()
    order.push('others')
  }
  await Promise.all([...large, small()])
  expect(order).toEqual(['small', 'others', 'large', 'large', 'large'])
})

it('compiles once what is asked for several times at once, and keeps it', async () => {
  const [a, b] = await Promise.all([constrain(text, regex('a+')), constrain(text, regex('a+'))])
  // Masks are kept for all texts of a grammar.
  expect(a.allowed()).toBe(b.allowed())
  expect((await constrain(text, regex('a+'))).allowed()).toBe(a.allowed())
})

it('keeps refusals too', async () => {
  const failed = () => Promise.resolve(constrain(text, refused)).catch((error) => error)
  const [first, second] = [await failed(), await failed()]
  expect(first.message).toContain('uniqueItems')
  expect(second).toMatchObject({ kind: 'unsupported', message: first.message })
})

it('keeps of a refusal what it says, not the automaton that was too large', async () => {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  const heap = () => {
    collect()
    return process.memoryUsage().heapUsed / 2 ** 20
  }
  // Not by `rejects`, which keeps what it saw.
  const refuse = async (i: number) => {
    const kind = await Promise.resolve(constrain(text, regex(`${i}(a|b)*a(a|b){15}`))).catch((error) => error.kind)
    expect(kind).toBe('unsupported')
  }
  await refuse(0)
  const before = heap()
  for (let i = 1; i <= 10; i++) await refuse(i)
  expect(heap() - before).toBeLessThan(10)
})

it('gives up what nobody waits for any more', async () => {
  const gone = new AbortController()
  const left = constrain(text, heavy('x'), gone.signal)
  const stays = constrain(text, heavy('y'))
  gone.abort(new Error('gone'))
  await expect(left).rejects.toThrow('gone')
  expect((await stays).done).toBe(false)
  // Another one begins anew.
  expect((await constrain(text, heavy('x'))).done).toBe(false)
})

it('keeps no passes over the vocabulary for grammars that are gone', async () => {
  const forget = vi.spyOn(TokenVocabulary.prototype, 'forget')
  const use = async (from: number, to: number) => {
    // The first bytes of each are a state of an automaton of its own.
    for (let i = from; i < to; i++) (await constrain(text, regex(`${i}[a-z]+`))).allowed()
  }
  await use(0, 20)
  const vocabulary = forget.mock.contexts[0] as TokenVocabulary
  const before = vocabulary.walkBytes
  expect(before).toBeGreaterThan(0)
  await use(20, 100)
  expect(vocabulary.walkBytes).toBeLessThan(2 * before)
  // What is kept is not forgotten, and what was is made again.
  const again = await constrain(text, regex('0[a-z]+'))
  expect(again.allowed().some((word) => word !== 0)).toBe(true)
  forget.mockRestore()
})
