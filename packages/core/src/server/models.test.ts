/** Models that are loaded and unloaded while requests come. */
import { expect, it, vi } from 'vitest'
import { TextModel } from '../generation/index.ts'
import { fakeEngine } from '../generation/testing/fake-decoder.ts'
import { byteTokenizerFiles } from '../tokenizer/byte-tokenizer.ts'
import { createTokenizer } from '../tokenizer/index.ts'
import { ModelRegistry } from './models.ts'

const tokenizer = createTokenizer(byteTokenizerFiles(['<begin>', '<end>']))

/** What a test opens, so that something may happen meanwhile. */
function gate() {
  let open = () => {}
  const passed = new Promise<void>((resolve) => {
    open = resolve
  })
  return { open, passed }
}

function textModel(disposed: Promise<void> = Promise.resolve()): TextModel {
  const { engine } = fakeEngine({ ragged: true, p: [4], vocabSize: 258, context: 100 })
  const text = new TextModel(engine.model, tokenizer)
  const dispose = text.dispose.bind(text)
  text.dispose = async () => {
    await disposed
    await dispose()
  }
  return text
}

const states = (registry: ModelRegistry) => registry.statuses.map(({ state }) => state)

it('loads a model once for all that come meanwhile', async () => {
  const load = vi.fn(async () => textModel())
  const registry = new ModelRegistry([{ id: 'a', load }])
  const all = await Promise.all(Array.from({ length: 5 }, () => registry.acquire('a')))
  expect(load).toHaveBeenCalledOnce()
  expect(new Set(all.map(({ model }) => model)).size).toBe(1)
  expect(registry.statuses[0]!.users).toBe(5)
})

it('loads two models one after the other, so that the second one sees the memory that the first one took', async () => {
  const [first, order] = [gate(), [] as string[]]
  const registry = new ModelRegistry([
    {
      id: 'a',
      load: async () => {
        order.push('a begins')
        await first.passed
        order.push('a is there')
        return textModel()
      },
    },
    {
      id: 'b',
      load: async () => {
        order.push('b begins')
        return textModel()
      },
    },
  ])
  const both = [registry.load('a'), registry.load('b')]
  await expect.poll(() => order).toEqual(['a begins'])
  expect(states(registry)).toEqual(['loading', 'loading'])
  first.open()
  await Promise.all(both)
  expect(order).toEqual(['a begins', 'a is there', 'b begins'])
})

it('loads a model again for who comes while it is unloaded, and never has it twice', async () => {
  const disposed = gate()
  let there = 0
  const load = async () => {
    there++
    expect(there).toBe(1)
    const text = textModel(disposed.passed.then(() => void there--))
    return text
  }
  const registry = new ModelRegistry([{ id: 'a', load }])
  const before = await registry.acquire('a')
  before.release()
  const unloaded = registry.unload('a')
  expect(states(registry)).toEqual(['unloading'])
  const again = registry.acquire('a')
  expect(states(registry)).toEqual(['loading'])
  // Somebody uses it already.
  await expect(registry.unload('a')).rejects.toMatchObject({ status: 409, facts: { code: 'model_in_use' } })
  disposed.open()
  await unloaded
  const { model } = await again
  expect(model).not.toBe(before.model)
  expect(model.text.model.isDisposed).toBe(false)
  expect(before.model.text.model.isDisposed).toBe(true)
  expect(states(registry)).toEqual(['ready'])
})

it('says why a model could not be loaded, lets others be loaded, and tries again for the next request', async () => {
  let broken = true
  const registry = new ModelRegistry([
    {
      id: 'a',
      load: async () => {
        if (broken) throw new Error('secret')
        return textModel()
      },
    },
    { id: 'b', load: async () => textModel() },
  ])
  const [a, b] = await Promise.allSettled([registry.load('a'), registry.load('b')])
  expect([a!.status, b!.status]).toEqual(['rejected', 'fulfilled'])
  expect(registry.statuses[0]).toMatchObject({ state: 'failed', problem: 'the server failed; its log says why', users: 0 })
  broken = false
  await registry.load('a')
  expect(registry.statuses[0]).toMatchObject({ state: 'ready', problem: undefined })
})

it('lets go at once of who leaves while a model is being loaded, and unloads what nobody waited for when it is idle', async () => {
  vi.useFakeTimers()
  try {
    const there = gate()
    const load = async () => {
      await there.passed
      return textModel()
    }
    const registry = new ModelRegistry([{ id: 'a', load }], { idleMs: 1000 })
    const left = new AbortController()
    const gone = registry.acquire('a', { signal: left.signal })
    expect(registry.statuses[0]).toMatchObject({ state: 'loading', users: 1, waiting: 1 })
    left.abort(new Error('gone'))
    await expect(gone).rejects.toThrow('gone')
    expect(registry.statuses[0]).toMatchObject({ state: 'loading', users: 0, waiting: 0 })
    // Long after it would have been idle.
    await vi.advanceTimersByTimeAsync(5000)
    there.open()
    await vi.advanceTimersByTimeAsync(500)
    expect(states(registry)).toEqual(['ready'])
    await vi.advanceTimersByTimeAsync(600)
    expect(states(registry)).toEqual(['unloaded'])
  } finally {
    vi.useRealTimers()
  }
})

it('unloads what is loaded for nobody any more when it is there, and what another one waits for not at all', async () => {
  let there = gate()
  const load = vi.fn(async () => {
    await there.passed
    return textModel()
  })
  const registry = new ModelRegistry([{ id: 'a', load }])
  /** A model that is being loaded, and whoever asked for it is gone. */
  const abandoned = async () => {
    const left = new AbortController()
    const gone = registry.acquire('a', { signal: left.signal })
    left.abort(new Error('gone'))
    await expect(gone).rejects.toThrow('gone')
    expect(registry.statuses[0]).toMatchObject({ state: 'loading', users: 0 })
  }
  await abandoned()
  const unloaded = registry.unload('a')
  there.open()
  await unloaded
  expect(states(registry)).toEqual(['unloaded'])
  const first = await load.mock.results[0]!.value
  expect(first.model.isDisposed).toBe(true)

  there = gate()
  await abandoned()
  const refused = registry.unload('a')
  refused.catch(() => {})
  const comes = registry.acquire('a')
  there.open()
  await expect(refused).rejects.toMatchObject({ status: 409, facts: { code: 'model_in_use' } })
  const { model, release } = await comes
  expect(model.text.model.isDisposed).toBe(false)
  expect(states(registry)).toEqual(['ready'])
  release()
  expect(load).toHaveBeenCalledTimes(2)
  await registry.close()
})

it('keeps what is used or pinned however idle, and unloads the rest', async () => {
  vi.useFakeTimers()
  try {
    const registry = new ModelRegistry(
      [
        { id: 'used', load: async () => textModel() },
        { id: 'pinned', pinned: true, load: async () => textModel() },
        { id: 'idle', load: async () => textModel() },
      ],
      { idleMs: 1000 },
    )
    const { release } = await registry.acquire('used')
    await registry.load('pinned')
    await registry.load('idle')
    // Idle from its last use on, not from its first.
    await vi.advanceTimersByTimeAsync(900)
    await registry.load('idle')
    await vi.advanceTimersByTimeAsync(900)
    expect(states(registry)).toEqual(['ready', 'ready', 'ready'])
    await vi.advanceTimersByTimeAsync(200)
    expect(states(registry)).toEqual(['ready', 'ready', 'unloaded'])
    release()
    await vi.advanceTimersByTimeAsync(1100)
    expect(states(registry)).toEqual(['unloaded', 'ready', 'unloaded'])
  } finally {
    vi.useRealTimers()
  }
})

it('keeps no process alive that has nothing else to do', async () => {
  const made = vi.spyOn(globalThis, 'setTimeout')
  try {
    const registry = new ModelRegistry([{ id: 'idle', load: async () => textModel() }], { idleMs: 60_000 })
    await registry.load('idle')
    const timers = made.mock.results.map(({ value }) => value as NodeJS.Timeout)
    expect(timers.map((timer) => timer.hasRef())).toEqual([false])
    await registry.close()
  } finally {
    made.mockRestore()
  }
})

it('loads nothing any more once it is closed', async () => {
  const [begun, first] = [gate(), gate()]
  const load = vi.fn(async () => textModel())
  const registry = new ModelRegistry([
    {
      id: 'a',
      load: async () => {
        begun.open()
        await first.passed
        return textModel()
      },
    },
    { id: 'b', load },
  ])
  const both = Promise.allSettled([registry.load('a'), registry.load('b')])
  await begun.passed
  const closed = registry.close()
  first.open()
  await closed
  expect(await both).toMatchObject([{ status: 'fulfilled' }, { status: 'rejected', reason: { status: 503 } }])
  expect(load).not.toHaveBeenCalled()
})
