/**
 * The native runtime against ONNX Runtime: random graphs of every operator that training has, and the gradients of every model that there is a
 * fixture for. Products may be of three bfloat16 (graphs/amx.cc), which is right to about 1e-5 of what is summed.
 */
import { readdirSync } from 'node:fs'
import { createRandom } from '@parscale/core/internal'
import { type Graph, GraphBuilder, type Value } from '@parscale/core/internal/graph'
import { Tensor } from 'onnxruntime-common'
import { describe, expect, it } from 'vitest'
import { readF32 } from '../../core/src/checkpoint/index.ts'
import { modelFiles } from '../../core/src/generation/index.ts'
import { backboneParameters, streamParameters } from '../../core/src/model/index.ts'
import { openModelFolder } from '../../core/src/node/index.ts'
import { onnxRuntime } from '../../core/src/node/onnx-runtime.ts'
import { fixturesFolder } from '../../core/src/testing/fixtures.ts'
import { gradientGraph, lossFeeds, type TrainPlan } from '../../core/src/training/index.ts'
import { compile } from '../src/graphs/native-runtime.ts'
import { type NativeRuntimeOptions, nativeModule, nativeRuntime } from '../src/index.ts'

type Feeds = Record<string, Tensor>
const floats = (tensor: Tensor) => tensor.data as Float32Array
const count = (shape: readonly unknown[]) => (shape as number[]).reduce((n, dim) => n * dim, 1)

/** The largest difference, as a share of the largest number of the expected. */
function difference(expected: Float32Array, found: Float32Array): number {
  expect(found.length).toBe(expected.length)
  const scale = expected.reduce((most, x) => Math.max(most, Math.abs(x)), 1e-6)
  let most = 0
  for (const [i, x] of expected.entries()) {
    const apart = Math.abs(x - found[i]!) / scale
    if (!(apart <= most)) most = apart
  }
  return most
}

async function both(graph: Graph, feeds: Feeds, options: NativeRuntimeOptions) {
  const sessions = await Promise.all(
    [onnxRuntime({ threads: 1 }), nativeRuntime(options)].map((runtime) => runtime.createSession(graph)),
  )
  const results = await Promise.all(sessions.map((session) => session.run(feeds)))
  await Promise.all(sessions.map((session) => session.dispose()))
  return { expected: results[0]!, found: results[1]! }
}

/** A graph of about thirty operators over values of up to four axes, every value an output that could be one. */
function randomGraph(seed: number): { graph: Graph; feeds: Feeds } {
  const random = createRandom(seed)
  const pick = <T>(list: readonly T[]): T => list[random.below(list.length)]!
  const sizes = [1, 1, 2, 3, 5, 8, 17, 33]
  const g = new GraphBuilder('random')
  const feeds: Feeds = {}
  const values: Value[] = []
  const shapeOf = (x: Value) => x.shape as number[]
  const input = (shape: readonly number[]): Value => {
    const value = g.input('x', 'float32', shape)
    feeds[value.name] = new Tensor(
      'float32',
      Float32Array.from({ length: count(shape) }, () => random.normal()),
      [...shape],
    )
    return value
  }
  const indices = (shape: readonly number[], below: number): Value => {
    const value = g.input('i', 'int64', shape)
    feeds[value.name] = new Tensor(
      'int64',
      BigInt64Array.from({ length: count(shape) }, () => BigInt(random.below(below))),
      [...shape],
    )
    return value
  }
  const shape = (rank = 1 + random.below(4)) => Array.from({ length: rank }, () => pick(sizes))
  const narrower = (x: readonly number[]) => x.map((dim) => (random.below(2) ? 1 : dim)).slice(random.below(x.length + 1))
  const old = () => (values.length === 0 || random.below(5) === 0 ? input(shape()) : pick(values))
  const other = (x: Value): Value => {
    const fitting = values.filter((y) => `${y.shape}` === `${x.shape}`)
    return fitting.length > 0 && random.below(3) > 0 ? pick(fitting) : input(random.below(2) ? shapeOf(x) : narrower(shapeOf(x)))
  }
  const last = (x: Value) => x.shape.at(-1) as number
  const positive = (x: Value) => g.add(g.mul(x, x), g.scalar(0.5))
  /** Random graphs grow numbers without end. */
  const small = (x: Value) => g.tanh(x)
  const makers: (() => Value | Value[])[] = [
    () => {
      const x = old()
      return pick([g.add, g.sub, g.mul])(x, other(x))
    },
    () => {
      const x = old()
      return pick([g.add, g.sub, g.mul])(other(x), x)
    },
    () => {
      const x = old()
      return g.div(x, positive(other(x)))
    },
    () => {
      const x = old()
      return g.min(x, other(x))
    },
    () => pick([g.neg, g.sigmoid, g.tanh, g.abs])(old()),
    () => g.exp(small(old())),
    () => pick([g.log, g.sqrt])(positive(old())),
    () => pick([g.add, g.mul])(old(), g.scalar(random.normal())),
    () => g.softmax(old()),
    () => {
      const x = old()
      return x.shape.length < 2 ? g.neg(x) : g.rmsNorm(x, input([last(x)]), 1e-3)
    },
    () => {
      const x = old()
      return g.reduceSum(x, [x.shape.length - 1])
    },
    () => {
      const x = old()
      return g.reduceMax(x, [x.shape.length - 1])
    },
    () => {
      const x = old()
      return g.reduceSumSquare(x, [x.shape.length - 1])
    },
    () => {
      const x = old()
      return g.reduceSum(
        x,
        [...new Set([random.below(x.shape.length), ...[...x.shape.keys()].filter(() => random.below(2) === 1)])].sort(),
      )
    },
    () => {
      const x = old()
      return g.reduceSum(x, [...x.shape.keys()].slice(0, 1 + random.below(x.shape.length)))
    },
    () => {
      const x = old()
      return g.reduceSumSquare(x, [...x.shape.keys()])
    },
    () => {
      const x = old()
      return g.reshape(x, [count(x.shape)])
    },
    () => {
      const x = old()
      return g.reshape(x, [count(x.shape) / last(x), last(x)])
    },
    () => {
      const x = old()
      return g.reshape(x, [...shapeOf(x).slice(0, -1), 1, last(x)])
    },
    () => {
      const x = old()
      return g.unsqueeze(x, random.below(x.shape.length + 1))
    },
    () => {
      const x = old()
      const perm = [...x.shape.keys()].sort(() => random.uniform() - 0.5)
      return g.transpose(x, perm)
    },
    () => {
      const to = shape()
      return g.expand(input(narrower(to)), to)
    },
    () => {
      const x = old()
      return g.concat([x, input(shapeOf(x)), x], random.below(x.shape.length))
    },
    () => {
      const x = old()
      const axis = random.below(x.shape.length)
      const n = shapeOf(x)[axis]!
      return n < 2 ? g.neg(x) : g.split(x, [1, n - 1], axis)
    },
    () => {
      const [m, k, n] = [pick(sizes), pick(sizes), pick(sizes)]
      const t = [random.below(2) === 1, random.below(2) === 1]
      return g.gemm(input(t[0] ? [k, m] : [m, k]), input(t[1] ? [n, k] : [k, n]), {
        transA: t[0]!,
        transB: t[1]!,
        bias: random.below(2) ? input(narrower([m, n])) : undefined,
      })
    },
    () => {
      const x = old()
      return x.shape.length < 2 ? g.neg(x) : g.matMul(x, input([last(x), pick(sizes)]))
    },
    () => {
      const x = old()
      return x.shape.length < 2
        ? g.neg(x)
        : g.matMul(
            g.mul(x, g.scalar(0.5)),
            g.transpose(
              x,
              [...x.shape.keys()].map((axis, i, all) => (i >= all.length - 2 ? all.length * 2 - 3 - axis : axis)),
            ),
          )
    },
    () => {
      const x = old()
      return g.gather(x, indices(shape(1 + random.below(2)), shapeOf(x)[0]!))
    },
    () => {
      const [n, c, k] = [pick(sizes), pick(sizes), pick(sizes)]
      return g.gatherElements(input([n, c]), indices([n, k], c), 1)
    },
    () => {
      const [n, c, k] = [pick(sizes), pick(sizes), pick(sizes)]
      const onto = g.neg(input([n, c]))
      return g.scatterAddElements(onto, indices([n, k], c), input([n, k]), 1)
    },
    () => {
      const x = old()
      const at = shape(1)
      return g.scatterAddRows(x, indices(at, shapeOf(x)[0]!), input([...at, ...shapeOf(x).slice(1)]))
    },
    () => {
      const [b, t, heads, half] = [pick(sizes), pick(sizes), 1 + random.below(3), pick(sizes)]
      const one = random.below(2) ? 1 : b
      const table = () => g.expand(input([one, t, half]), [b, t, half])
      return g.rotaryEmbedding(input([b, t, heads * 2 * half]), table(), table(), heads)
    },
  ]
  for (let i = 0; i < 30; i++) {
    const made = [pick(makers)()].flat()
    values.push(...made.filter(({ shape }) => count(shape) <= 20_000 && shape.length <= 5))
  }
  const computed = new Set(g.nodes.flatMap(({ outputs }) => outputs))
  for (const value of new Set(values)) if (computed.has(value) && random.below(3) > 0) g.output(value, `out.${value.name}`)
  g.output(g.add(input([2, 3]), g.scalar(1)), 'last')
  return { graph: g.build(), feeds }
}

const seeds = Number(process.env.PARSCALE_GRAPHS ?? 60)
const first = Number(process.env.PARSCALE_SEED ?? 1)

const precisions = [
  { matmulPrecision: 'highest', tolerance: 2e-4 },
  { matmulPrecision: 'high', tolerance: 1e-2 },
] as const

it.each(precisions)(
  `${seeds} random graphs, $matmulPrecision`,
  { timeout: 1_200_000 },
  async ({ matmulPrecision, tolerance }) => {
    for (let seed = first; seed < first + seeds; seed++) {
      const { graph, feeds } = randomGraph(seed)
      const { expected, found } = await both(graph, feeds, { threads: 1 + (seed % 3), matmulPrecision })
      for (const { name } of graph.outputs) {
        expect(found[name]!.dims, `seed ${seed}: ${name}`).toEqual(expected[name]!.dims)
        expect(difference(floats(expected[name]!), floats(found[name]!)), `seed ${seed}: ${name}`).toBeLessThan(tolerance)
      }
    }
  },
)

const names = ['transformers', 'options'].flatMap((group) =>
  readdirSync(`${fixturesFolder}${group}`)
    .filter((name) => !name.endsWith('.md'))
    .map((name) => `${group}/${name}`),
)
const optimizer = { betas: [0.9, 0.95], epsilon: 1e-8, weightDecay: 0.1, maxGradNorm: 1 } as const

describe.each(names)('gradients of %s', (name) => {
  it.each([false, true])('documents apart: %s', async (documentMask) => {
    const open = await openModelFolder(`${fixturesFolder}${name}`)
    const { config, tied, findWeight } = await modelFiles(open)
    const trainable = [...backboneParameters(config, tied), ...streamParameters(config)]
    const feeds: Feeds = {}
    for (const { name, shape } of trainable)
      feeds[name] = new Tensor('float32', await readF32(open.tensors.get(name)!), [...shape])
    await open.close()
    const shape = { sequences: 2, tokens: 12 }
    const plan: TrainPlan = { config, tied, trainable, frozen: findWeight, shape, optimizer, documentMask }
    const ids = Array.from({ length: 2 * 13 }, (_, i) => (17 + 31 * i * i) % config.vocabSize)
    const documents = ids.map((_, i) => (i % 13 < 6 ? 0 : 1))
    Object.assign(feeds, lossFeeds(plan)([documentMask ? { ids, documents } : { ids }])[0])
    const graph = gradientGraph(plan)
    const { expected, found } = await both(graph, feeds, { threads: 1, matmulPrecision: 'highest' })
    const bits: Record<number, Feeds> = {}
    for (const threads of [1, 3]) {
      const session = await nativeRuntime({ threads }).createSession(graph)
      bits[threads] = await session.run(feeds)
      await session.dispose()
    }
    for (const { name } of graph.outputs) {
      expect(difference(floats(expected[name]!), floats(found[name]!)), name).toBeLessThan(1e-4)
      expect(difference(floats(expected[name]!), floats(bits[1]![name]!)), name).toBeLessThan(2e-3)
      // On any number of threads.
      expect(floats(bits[3]![name]!), name).toEqual(floats(bits[1]![name]!))
    }
  })
})

describe('what does not fit', () => {
  const tensor = (data: number[], dims = [data.length]) => new Tensor('float32', Float32Array.from(data), dims)
  const ids = (data: bigint[]) => new Tensor('int64', BigInt64Array.from(data), [data.length])
  const lookUp = () => {
    const g = new GraphBuilder('look-up')
    g.output(g.gather(g.input('table', 'float32', [2, 2]), g.input('ids', 'int64', [2])), 'out')
    return nativeRuntime({ threads: 2 }).createSession(g.build())
  }
  const table = tensor([1, 2, 3, 4], [2, 2])

  it('indices behind a table, and before it', async () => {
    const session = await lookUp()
    expect([...floats((await session.run({ table, ids: ids([1n, 0n]) })).out!)]).toEqual([3, 4, 1, 2])
    for (const bad of [-1n, 2n, 2n ** 40n])
      await expect(session.run({ table, ids: ids([0n, bad]) })).rejects.toThrow(/an index lies outside of its table/)
    // The session lives on.
    expect([...floats((await session.run({ table, ids: ids([0n, 0n]) })).out!)]).toEqual([1, 2, 1, 2])
    await session.dispose()
  })

  it('feeds of another shape or type, and those that are missing', async () => {
    const session = await lookUp()
    await expect(session.run({ table: tensor([1, 2, 3, 4], [1, 4]), ids: ids([0n, 0n]) })).rejects.toThrow(
      'look-up: table is float32 [1,4], expected float32 [2,2]',
    )
    await expect(session.run({ table, ids: tensor([0, 0]) })).rejects.toThrow('ids is float32 [2], expected int64 [2]')
    await expect(session.run({ table })).rejects.toThrow('ids is not fed')
    await session.dispose()
    await expect(session.run({ table, ids: ids([0n, 0n]) })).rejects.toMatchObject({ kind: 'runtime', message: /closed/ })
  })

  it('a second run while one runs; its end waits for it', async () => {
    const g = new GraphBuilder('long')
    const x = g.input('x', 'float32', [512, 512])
    g.output(g.matMul(g.matMul(x, x), g.matMul(x, x)), 'out')
    const session = await nativeRuntime({ threads: 1 }).createSession(g.build())
    const feeds = { x: tensor(new Array<number>(512 * 512).fill(1 / 512), [512, 512]) }
    const first = session.run(feeds)
    await expect(session.run(feeds)).rejects.toMatchObject({ kind: 'runtime', message: /running/ })
    await session.dispose()
    expect(floats((await first).out!)[0]).toBeCloseTo(1 / 512, 6)
  })

  it.each<[string, (g: GraphBuilder) => Value]>([
    ['sums of integers', (g) => g.add(g.input('i', 'int64', [2]), g.input('j', 'int64', [2]))],
    ['a table without rows', (g) => g.neg(g.input('x', 'float32', [0, 3]))],
    ['a dimension that is not known yet', (g) => g.neg(g.input('x', 'float32', ['N']))],
    ['floats of 16 bits', (g) => g.neg(g.input('x', 'float16', [2]))],
  ])('%s: ONNX Runtime may take such a graph', async (_, make) => {
    const g = new GraphBuilder('other')
    g.output(make(g), 'out')
    await expect(nativeRuntime().createSession(g.build())).rejects.toMatchObject({ kind: 'unsupported' })
  })
})

it('hands NaN on, and is finite where float32 is', async () => {
  const g = new GraphBuilder('edges')
  const x = g.input('x', 'float32', [2, 3])
  g.output(g.reduceMax(x, [1]), 'max')
  g.output(g.min(x, g.scalar(1)), 'min')
  g.output(g.exp(x), 'exp')
  const feeds = { x: new Tensor('float32', Float32Array.of(NaN, 1, 88.5, -Infinity, 2, 88.8), [2, 3]) }
  const { expected, found } = await both(g.build(), feeds, { threads: 1 })
  expect(floats(found.max!)).toEqual(floats(expected.max!))
  expect(floats(found.min!)).toEqual(floats(expected.min!))
  for (const [i, value] of floats(expected.exp!).entries())
    expect(floats(found.exp!)[i]! / value, `e^${floats(feeds.x)[i]}`).toEqual(
      Number.isFinite(value) && value > 0 ? expect.closeTo(1, 6) : value / value,
    )
})

/** What a program says is checked when it is read: none reaches behind its blocks, however its numbers are changed. */
it('programs with changed numbers are refused, or stay in their memory', async () => {
  const loaded = nativeModule()
  if (!('module' in loaded)) throw new Error(loaded.reason)
  const native = loaded.module
  const random = createRandom(7)
  let [refused, ran] = [0, 0]
  for (let seed = 1; seed <= 40; seed++) {
    const { graph, feeds } = randomGraph(seed)
    const { program, constants } = await compile(graph)
    const blocks = [
      ...graph.inputs.map(({ name }) => feeds[name]!.data as Float32Array),
      ...graph.outputs.map(({ shape }) => new Float32Array(count(shape))),
      ...constants,
    ]
    for (let change = 0; change < 25; change++) {
      const code = program.code.slice()
      for (let i = 0; i <= random.below(3); i++) {
        const at = random.below(code.length)
        code[at] = code[at]! + random.below(9) - 4
      }
      try {
        const handle = native.createProgram(code, Float64Array.from(program.blocks), 2, 0)
        await native.runProgram(handle, blocks)
        native.closeProgram(handle)
        ran++
      } catch (error) {
        expect((error as { code?: string }).code).toMatch(/^ERR_USAGE$/)
        refused++
      }
    }
  }
  expect(refused).toBeGreaterThan(100)
  expect(ran).toBeGreaterThan(100)
})
