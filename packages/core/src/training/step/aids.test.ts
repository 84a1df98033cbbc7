/**
 * Training aids: what they do to loss, objective and gradients. Terms are compared with their formulas, computed here from the
 * masks and weights; gradients with finite differences (aids-gradients.test.ts) and with PyTorch (packages/native/test).
 */
import { Tensor } from 'onnxruntime-node'
import { describe, expect, it } from 'vitest'
import { GraphBuilder } from '../../graph/index.ts'
import { backboneParameters, streamParameters } from '../../model/index.ts'
import { onnxRuntime } from '../../node/onnx-runtime.ts'
import { createRandom } from '../../random.ts'
import { maxDifference } from '../../testing/fixtures.ts'
import { readTrainingModel } from '../../testing/training.ts'
import { firstStreams, gradientGraph, LossEvaluation, lossFeeds, passNoise, type TrainPlan, TrainStep } from '../index.ts'
import { addedTerms, leftOut, ofDomains } from './aids.ts'

const runtime = onnxRuntime({ threads: 2 })
const shape = { sequences: 2, tokens: 12 }
type Arrays = ReadonlyMap<string, Float32Array>

async function sample(name: string) {
  const { plan, model, config } = await readTrainingModel(name)
  const ids = Array.from({ length: 2 * 13 }, (_, i) => (17 + 31 * i * i) % config.vocabSize)
  return { plan: plan(shape), model, ids }
}

/** Loss and gradients of one pass. */
async function gradientsOf(plan: TrainPlan, model: Arrays, ids: readonly number[], pass = 0) {
  const session = await runtime.createSession(gradientGraph(plan))
  const parameters = plan.trainable.map(({ name, shape }) => [name, new Tensor('float32', model.get(name)!, shape)])
  const noise = passNoise(plan, 3)(pass, { ids })
  const out = await session.run({ ...Object.fromEntries(parameters), ...lossFeeds(plan)([{ ids }])[0], ...noise })
  await session.dispose()
  const grads = new Map(plan.trainable.map(({ name }) => [name, out[`next.gradient.${name}`]!.data as Float32Array]))
  return { loss: Number(out.loss!.data[0]), grads }
}

describe('balance', () => {
  /** The term of one pass of random weights. */
  async function term(streamWeights: Float32Array, P: number, lossWeights: Float32Array): Promise<number> {
    const N = lossWeights.length
    const g = new GraphBuilder('term')
    const input = (name: string, width: number) => g.input(name, 'float32', [N, width])
    const pass = {
      surprisals: input('surprisals', 1),
      streamWeights: input('weights', P),
      lossWeights: input('loss_weights', 1),
      hidden: g.constant(new Float32Array(P), [1, P, 1]), // read by no balance term
      ownSurprisals: () => expect.unreachable('a balance term reads no stream alone'),
    }
    const config = { parscale: { n: P, aggregation: 'dynamic' } } as TrainPlan['config']
    g.output(addedTerms(g, config, { balance: 0.5 }, pass)!, 'term')
    const session = await runtime.createSession(g.build())
    const { term } = await session.run({
      surprisals: new Tensor('float32', new Float32Array(N), [N, 1]),
      weights: new Tensor('float32', streamWeights, [N, P]),
      loss_weights: new Tensor('float32', lossWeights, [N, 1]),
    })
    await session.dispose()
    return Number(term!.data[0])
  }
  const rows = (count: number, row: readonly number[]) =>
    Float32Array.from({ length: count * row.length }, (_, i) => row[i % row.length]!)

  it('is 0 where streams have as much, W (P - 1) where one has all, however tokens share it out', async () => {
    const even = rows(6, [1 / 6])
    expect(await term(rows(6, [0.25, 0.25, 0.25, 0.25]), 4, even)).toBeCloseTo(0, 6)
    expect(await term(rows(6, [0, 1, 0, 0]), 4, even)).toBeCloseTo(0.5 * 3, 6)
    // Every token its own stream: balanced.
    expect(await term(Float32Array.from([1, 0, 0, 1, 1, 0, 0, 1]), 2, rows(4, [1 / 4]))).toBeCloseTo(0, 6)
  })

  it('is the squared coefficient of variation of what the streams have', async () => {
    const random = createRandom(2)
    const [N, P] = [7, 3]
    const streamWeights = new Float32Array(N * P)
    for (let t = 0; t < N; t++) {
      const row = Array.from({ length: P }, () => random.uniform())
      const sum = row.reduce((a, b) => a + b)
      for (const [p, w] of row.entries()) streamWeights[t * P + p] = w / sum
    }
    const lossWeights = Float32Array.from([0, 1, 1, 0, 2, 1, 0], (w) => w / 5)
    const importance = [0, 1, 2].map((p) => lossWeights.reduce((sum, w, t) => sum + w * streamWeights[t * P + p]!, 0))
    const variance = importance.reduce((sum, m) => sum + (m - 1 / P) ** 2, 0) / P
    expect(await term(streamWeights, P, lossWeights)).toBeCloseTo((0.5 * variance) / (1 / P) ** 2, 6)
    // A pass of which no token counts adds nothing.
    expect(await term(streamWeights, P, new Float32Array(N))).toBeCloseTo(0, 9)
  })

  it('moves the gradients, not the loss, and needs an aggregator', async () => {
    const { plan, model, ids } = await sample('parscale-p4')
    const plain = await gradientsOf(plan, model, ids)
    const balanced = await gradientsOf({ ...plan, aids: { balance: 1 } }, model, ids)
    expect(balanced.loss).toBe(plain.loss)
    const moved = [...plain.grads].filter(([name, grad]) => maxDifference(grad, balanced.grads.get(name)!) > 1e-6)
    expect(moved.map(([name]) => name)).toContain('model.aggregate_layer.2.bias')
    const one = await sample('qwen2-p1')
    expect(gradientGraph({ ...one.plan, aids: { balance: 1 } })).toEqual(gradientGraph(one.plan))
  })
})

describe('dropout', () => {
  it('draws by seed and pass alone, and is off in evaluation', async () => {
    const { plan, model, ids } = await sample('parscale-p2')
    const dropping = { ...plan, aids: { dropout: 0.2 } }
    const plain = await gradientsOf(plan, model, ids)
    const first = await gradientsOf(dropping, model, ids, 5)
    expect(await gradientsOf(dropping, model, ids, 5)).toEqual(first)
    const other = await gradientsOf(dropping, model, ids, 6)
    for (const [a, b] of [
      [plain, first],
      [first, other],
    ] as const)
      expect(Math.abs(a.loss - b.loss)).toBeGreaterThan(1e-4)
    const parameters = Object.fromEntries(
      plan.trainable.map(({ name, shape }) => [name, new Tensor('float32', model.get(name)!, shape)]),
    )
    const evaluations = [plan, dropping].map(async (of) => {
      const evaluation = await LossEvaluation.create(runtime, of)
      const surprisals = await evaluation.run(parameters, { ids })
      await evaluation.dispose()
      return surprisals
    })
    const [without, with_] = await Promise.all(evaluations)
    expect(with_).toEqual(without)
  })

  it('draws other masks for each micro-batch, and the same for the same step', async () => {
    const { plan, model, ids } = await sample('qwen2-p1')
    const dropping = { ...plan, aids: { dropout: 0.3 }, seed: 11 }
    const losses = async (batches: number, steps: readonly number[]) => {
      const step = await TrainStep.create(runtime, dropping, { parameters: model }, batches)
      const found: number[] = []
      for (const firstPass of steps) {
        const { loss } = await step.run(new Array(batches).fill({ ids }), {
          learningRate: 1e-3,
          step: 1,
          firstPass,
          accept: () => false,
        })
        found.push(loss)
      }
      await step.dispose()
      return found
    }
    const alone = await losses(1, [4, 5, 4])
    expect(alone[2]).toBe(alone[0])
    expect(alone[1]).not.toBe(alone[0])
    const [both] = await losses(2, [4])
    expect(both).toBeCloseTo((alone[0]! + alone[1]!) / 2, 5)
  })
})

describe('nested streams', () => {
  it('has the first 1, 2, 4, ... of them, each number as often, with the probability that is asked for', async () => {
    const { plan } = await sample('parscale-p4')
    const nesting = { ...plan, shape: { sequences: 900, tokens: 1 }, aids: { nestStreams: 0.6 } }
    const kept = Array.from(passNoise(nesting, 7)(0, { ids: [] }).first_streams!.data as Float32Array, Math.round)
    const rows = Array.from({ length: 900 }, (_, b) => kept.slice(4 * b, 4 * b + 4).join(''))
    expect([...new Set(rows)].sort()).toEqual(['1000', '1100', '1111'])
    const countOf = (row: string) => rows.filter((each) => each === row).length
    // 270, 270 and 360; standard deviation 14.
    expect(Math.abs(countOf('1000') - 270)).toBeLessThan(5 * 14)
    expect(Math.abs(countOf('1100') - 270)).toBeLessThan(5 * 14)
  })

  // P = 4 with two streams left out, and the model of P = 2 that train makes of it.
  it.each(['dynamic', 'static', 'average'] as const)('is a model of a smaller P, %s', async (aggregation) => {
    const { plan, model, ids } = await sample('parscale-p4')
    const loss = async (n: number, kept?: readonly number[]) => {
      const config = { ...plan.config, parscale: { ...plan.config.parscale, n, aggregation } }
      const trainable = [...backboneParameters(config, plan.tied), ...streamParameters(config)]
      const values = trainable.map(({ name, shape }) => {
        const stored = name.endsWith('.logits') ? Float32Array.of(0.3, -0.5, 0.8, 0.1) : model.get(name)!
        const from = name.endsWith('.logits') ? [4] : storedShapes.get(name)!
        return [name, new Tensor('float32', firstStreams(stored, from, shape, { stored: 4, wanted: n })!, shape)]
      })
      const of: TrainPlan = { ...plan, config, trainable, aids: kept ? { nestStreams: 0.5 } : {} }
      const session = await runtime.createSession(gradientGraph(of))
      const noise = kept && { first_streams: new Tensor('float32', Float32Array.from([...kept, ...kept]), [2, 4]) }
      const out = await session.run({ ...Object.fromEntries(values), ...lossFeeds(of)([{ ids }])[0], ...noise })
      await session.dispose()
      return Number(out.loss!.data[0])
    }
    const storedShapes = new Map(
      [...backboneParameters(plan.config, plan.tied), ...streamParameters(plan.config)].map(({ name, shape }) => [name, shape]),
    )
    const nested = await loss(4, [1, 1, leftOut, leftOut])
    expect(Math.abs(nested - (await loss(2)))).toBeLessThan(2e-6)
    expect(Math.abs(nested - (await loss(4)))).toBeGreaterThan(1e-4)
  })
})

describe('streams of domains', () => {
  it('leaves as many sequences to the stream of each token’s document as the rate says, and padding to all', async () => {
    const { plan } = await sample('parscale-p4')
    const [B, T] = [600, 2]
    const domains = [2, 0, 3, 1, 2]
    // Documents of one and two tokens, the first token of the next sequence's, and padding at the end of each third.
    const documents = Array.from({ length: B }, (_, b) => [b % 5, (b + 1) % 5, b % 3 === 0 ? -1 : (b + 1) % 5]).flat()
    const noise = passNoise({ ...plan, shape: { sequences: B, tokens: T }, aids: { domainStreams: 0.3 }, domains }, 7)
    const kept = Array.from(noise(0, { ids: [], documents }).domain_streams!.data as Float32Array, Math.round)
    const only = (p: number | undefined) => Array.from({ length: 4 }, (_, i) => Number(p === undefined || i === p))
    let left = 0
    for (let b = 0; b < B; b++) {
      const row = kept.slice(4 * T * b, 4 * T * (b + 1))
      if (row.every((k) => k === 1)) continue
      left++
      expect(row).toEqual([...only(domains[documents[3 * b]!]), ...only(domains[documents[3 * b + 1]!])])
    }
    // 180; standard deviation 11.
    expect(Math.abs(left - 180)).toBeLessThan(5 * 11)
  })

  it('is refused where nobody says which document is whose', async () => {
    const { plan } = await sample('parscale-p4')
    expect(() => passNoise({ ...plan, aids: { domainStreams: 0.3 } }, 7)).toThrow(/the plan needs `domains`/)
  })

  it('adds a tenth of -log of what the token’s own stream has, where the sequence is left to it', async () => {
    const [N, P] = [3, 2]
    const g = new GraphBuilder('term')
    const input = (name: string, width: number) => g.input(name, 'float32', [N, width])
    const own = ofDomains(g, input('weights', P))
    const pass = {
      surprisals: input('surprisals', 1),
      lossWeights: input('loss_weights', 1),
      domainSurprisals: own.surprisals,
      hidden: g.constant(new Float32Array(P), [1, P, 1]), // read by no term of domains
      ownSurprisals: () => expect.unreachable('a term of domains reads no stream alone'),
    }
    const { plan } = await sample('parscale-p2')
    g.output(addedTerms(g, plan.config, { domainStreams: 0.5 }, pass)!, 'term')
    g.output(own.kept, 'kept')
    const session = await runtime.createSession(g.build())
    const out = await session.run({
      surprisals: new Tensor('float32', new Float32Array(N), [N, 1]),
      weights: new Tensor('float32', Float32Array.of(0.3, 0.7, 0.6, 0.4, 0.2, 0.8), [N, P]),
      domain_streams: new Tensor('float32', Float32Array.of(1, leftOut, 1, 1, leftOut, 1), [N, P]),
      loss_weights: new Tensor('float32', Float32Array.of(0.5, 0.3, 0.2), [N, 1]),
    })
    await session.dispose()
    expect(Number(out.term!.data[0])).toBeCloseTo(-0.1 * (0.5 * Math.log(0.3) + 0.2 * Math.log(0.8)), 6)
    const kept = Array.from(out.kept!.data as Float32Array)
    for (const [i, expected] of [1, 0, 0.6, 0.4, 0, 1].entries()) expect(kept[i]).toBeCloseTo(expected, 6)
  })

  it.each(['hidden', 'probabilities'] as const)('is the loss of one stream alone, %s', async (merge) => {
    const { plan, model, ids } = await sample('parscale-p4')
    const config = { ...plan.config, parscale: { ...plan.config.parscale, merge } }
    const losses = async (aids: TrainPlan['aids'], feeds: Record<string, Tensor> = {}) => {
      const of: TrainPlan = { ...plan, config, aids: aids! }
      const session = await runtime.createSession(gradientGraph(of))
      const values = of.trainable.map(({ name, shape }) => [name, new Tensor('float32', model.get(name)!, shape)])
      const out = await session.run({ ...Object.fromEntries(values), ...lossFeeds(of)([{ ids }])[0], ...feeds })
      await session.dispose()
      return Number(out.loss!.data[0])
    }
    const rows = plan.shape.sequences * plan.shape.tokens
    const alone = (p: number) => Float32Array.from({ length: 4 * rows }, (_, i) => (i % 4 === p ? 1 : leftOut))
    const domain = await losses({ domainStreams: 0.5 }, { domain_streams: new Tensor('float32', alone(2), [rows, 4]) })
    const kept = Float32Array.from({ length: 4 * plan.shape.sequences }, (_, i) => (i % 4 === 2 ? 1 : leftOut))
    const dropped = await losses({ dropStreams: 0.5 }, { kept_streams: new Tensor('float32', kept, [plan.shape.sequences, 4]) })
    expect(Math.abs(domain - dropped)).toBeLessThan(2e-6)
    expect(Math.abs(domain - (await losses({})))).toBeGreaterThan(1e-4)
  })
})

describe('dropped streams', () => {
  it('keeps at least one of each sequence, as often as the rate says', async () => {
    const { plan } = await sample('parscale-p4')
    const dropping = { ...plan, shape: { sequences: 500, tokens: 1 }, aids: { dropStreams: 0.4 } }
    const noise = passNoise(dropping, 7)
    const kept = Array.from(noise(0, { ids: [] }).kept_streams!.data as Float32Array)
    const rows = Array.from({ length: 500 }, (_, b) => kept.slice(4 * b, 4 * b + 4).filter((k) => k === 1).length)
    expect(Math.min(...rows)).toBeGreaterThan(0)
    // Of 2000, 0.6 stay, and the 4 of each of the 0.4^4 of sequences that would lose all: 1251, standard deviation 24.
    const count = rows.reduce((a, b) => a + b)
    expect(Math.abs(count - 1251)).toBeLessThan(5 * 24)
    expect(Array.from(noise(1, { ids: [] }).kept_streams!.data as Float32Array)).not.toEqual(kept)
  })
})
