/**
 * Loss, objective and gradients of every training aid with every kind of stream, beside PyTorch's in float64 (testing/aids-torch.py has
 * the formulas once more). Both engines: ONNX Runtime and, where it is built, the native runtime in float32.
 */
import { execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { Tensor } from 'onnxruntime-common'
import { beforeAll, describe, expect, it } from 'vitest'
import { pythonEnvironment } from '../../../scripts/python-env.mjs'
import { onnxRuntime } from '../../core/src/node/onnx-runtime.ts'
import { aidCases, aidFeeds, aidParameters, aidPlan, objectiveSession } from '../../core/src/testing/aid-cases.ts'
import { nativeRuntime } from '../src/index.ts'

interface Found {
  readonly loss: number
  readonly objective: number
  readonly gradients: Readonly<Record<string, number[]>>
}

let torch: Readonly<Record<string, Found>>

beforeAll(() => {
  const stored = ({ dims, data }: Pick<Tensor, 'dims' | 'data'>) => [dims, Array.from(data as Float32Array, Number)]
  const cases = Object.entries(aidCases).map(([name, aidCase]) => {
    const plan = aidPlan(aidCase)
    const { config, shape, aids } = plan
    const parameters = aidParameters(plan)
    const feeds = Object.entries(aidFeeds(plan)).map(([feed, tensor]) => [feed, stored(tensor)])
    const tensors = plan.trainable.map(({ name, shape }) => [name, stored({ dims: shape, data: parameters.get(name)! })])
    const { raw: _, features: __, ...plain } = config
    const made = { config: plain, streams: config.parscale, aids, ...shape }
    return [name, { ...made, feeds: Object.fromEntries(feeds), parameters: Object.fromEntries(tensors) }]
  })
  const script = fileURLToPath(new URL('../../core/src/testing/aids-torch.py', import.meta.url))
  const options = { input: JSON.stringify(Object.fromEntries(cases)), encoding: 'utf8', maxBuffer: 2 ** 28 } as const
  torch = JSON.parse(execFileSync(pythonEnvironment('torch'), [script], options))
}, 600_000)

describe.each([
  ['onnx', () => onnxRuntime({ threads: 1 })],
  ['native', () => nativeRuntime({ threads: 2, matmulPrecision: 'highest' })],
] as const)('%s', (_, runtime) => {
  it.each(Object.entries(aidCases))('%s', async (name, aidCase) => {
    const plan = aidPlan(aidCase)
    const session = await objectiveSession(runtime(), plan)
    const ours = await session.at(aidParameters(plan))
    await session.dispose()
    const theirs = torch[name]!
    // float32 sums of losses of about 4; gradients are up to 3.
    expect(Math.abs(ours.loss - theirs.loss)).toBeLessThan(5e-6)
    expect(Math.abs(ours.objective - theirs.objective)).toBeLessThan(1e-5)
    let largest = 0
    for (const [tensor, grad] of ours.gradients) {
      const expected = theirs.gradients[tensor]!
      const scale = expected.reduce((max, x) => Math.max(max, Math.abs(x)), 0)
      const off = grad.reduce((max, x, i) => Math.max(max, Math.abs(x - expected[i]!)), 0)
      expect(off, tensor).toBeLessThan(2e-6 + 2e-5 * scale)
      largest = Math.max(largest, scale)
    }
    expect(largest).toBeGreaterThan(0.01)
  })
})
