/** Constraints of single requests, on a decoder that continues every id with the next one. */
import { expect, it } from 'vitest'
import { Scheduler, type TokenConstraint } from './index.ts'
import { fakeEngine } from './testing/fake-decoder.ts'

const { engine, decoder } = fakeEngine({ ragged: true, vocabSize: 300 })

/** Allows one set of ids after the other. */
function lists(...allowed: number[][]): TokenConstraint & { readonly taken: number[] } {
  const taken: number[] = []
  return {
    taken,
    allowed() {
      const mask = new Uint32Array(Math.ceil(300 / 32))
      for (const id of allowed[taken.length]!) mask[id >>> 5]! |= 1 << (id & 31)
      return mask
    },
    accept: (id) => void taken.push(id),
    get done() {
      return taken.length === allowed.length
    },
  }
}

const submit = async (constraint: TokenConstraint, more: object = {}) => {
  const ids: number[] = []
  const { finishReason } = await new Scheduler(engine).submit({
    ...{ promptIds: [10], maxTokens: 8, sampling: { temperature: 0, topK: 1 }, stopTokenIds: [299], constraint },
    onToken: ({ id }) => void ids.push(id),
    ...more,
  })
  return { ids, finishReason }
}

it('allows what the mask allows, of it the most probable, and ends with the constraint', async () => {
  // 11 would follow 10; between equals the lowest id counts.
  const constraint = lists([31, 32, 64], [33, 299, 40], [0, 298])
  expect(await submit(constraint)).toEqual({ ids: [31, 33, 0], finishReason: 'stop' })
  expect(constraint.taken).toEqual([31, 33, 0])
})

it('is applied before top-k', async () => {
  expect((await submit(lists([250]), { sampling: { temperature: 1, topK: 1 } })).ids).toEqual([250])
})

it('ends a text only where it may end', async () => {
  const bias = { sampling: { temperature: 0, logitBias: new Map([[299, 50]]) } }
  expect(await submit(lists([20], [299, 21], [22]), bias)).toEqual({ ids: [20], finishReason: 'stop' })
})

it('fails its own request only', async () => {
  const scheduler = new Scheduler(engine)
  const broken = { ...lists([]), accept() {}, done: false }
  const throws = { ...broken, allowed: () => expect.fail('no such rule') }
  const run = (constraint?: TokenConstraint) =>
    scheduler.submit({ promptIds: [1], maxTokens: 5, sampling: { temperature: 0 }, constraint })
  const [none, thrown, other] = await Promise.allSettled([run(broken), run(throws), run()])
  expect(none).toMatchObject({ reason: { message: expect.stringContaining('all 300 tokens are banned') } })
  expect(thrown).toMatchObject({ reason: { message: 'no such rule' } })
  expect(other.status).toBe('fulfilled')
  expect(decoder.openRows).toBe(0)
})

it('is waited for where it takes long, while others go on', async () => {
  const scheduler = new Scheduler(engine)
  const order: string[] = []
  let ready = () => {}
  const slow = {
    ...lists([20], [21]),
    prepare: () => new Promise<void>((resolve) => (ready = resolve)),
    done: false,
  }
  const run = (name: string, constraint?: TokenConstraint) =>
    scheduler
      .submit({ promptIds: [1], maxTokens: 2, sampling: { temperature: 0 }, constraint, onToken: () => void order.push(name) })
      .then(() => order.push(`${name} ends`))
  const slowly = run('slow', slow)
  await run('other')
  ready()
  await run('third')
  ready()
  await slowly
  expect(order.slice(0, 3)).toEqual(['other', 'other', 'other ends'])
  // The first token of the slow one needed the first `ready`, its second the second.
  expect(order.indexOf('third ends')).toBeLessThan(order.lastIndexOf('slow'))
  expect(order.at(-1)).toBe('slow ends')
  const gone = new AbortController()
  const left = scheduler.submit({
    promptIds: [1],
    maxTokens: 2,
    constraint: { ...slow, prepare: () => new Promise(() => {}) },
    signal: gone.signal,
  })
  gone.abort(new Error('gone'))
  await expect(left).rejects.toThrow('gone')
  expect(decoder.openRows).toBe(0)
})
