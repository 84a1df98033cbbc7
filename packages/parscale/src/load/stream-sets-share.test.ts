/** Several stream sets on one backbone: what each adds to what the engine is given. */
import { Model, modelFiles } from '@parscale/core/internal/generation'
import { elementCount, streamParameters } from '@parscale/core/internal/model'
import { onnxRuntime } from '@parscale/core/internal/node/onnx-runtime'
import type { Runtime } from '@parscale/core/internal/runtime'
import { expect, it } from 'vitest'
import { openModel } from './open-model.ts'

it('loads the backbone once, and with each set its aggregator alone', async () => {
  const engine = onnxRuntime({ threads: 1 })
  const sessions: { name: string; numbers: number }[] = []
  const watched: Runtime = {
    ...engine,
    createSession(graph, options) {
      sessions.push({ name: graph.name, numbers: sum(graph.initializers.map(({ value }) => value.shape as number[])) })
      return engine.createSession(graph, options)
    },
  }
  const open = await openModel(undefined)
  const model = await Model.load(watched, await modelFiles(open.backbone, open.streamSets))
  await model.dispose()
  await open.close()

  const aggregators = sessions.filter(({ name }) => name.includes('aggregator'))
  expect(open.streamSets.length).toBe(3)
  // The backbone and the output embedding.
  expect(sessions.length - aggregators.length).toBe(2)
  const own = open.streamSets.map(({ config }) =>
    sum(streamParameters(config).flatMap(({ name, shape }) => (name.includes('aggregate') ? [shape] : []))),
  )
  // Weights, and a few constants of the graph.
  for (const [i, { numbers }] of aggregators.entries()) {
    expect(numbers).toBeGreaterThanOrEqual(own[i]!)
    expect(numbers).toBeLessThan(own[i]! + 100)
  }
})

const sum = (shapes: readonly (readonly number[])[]): number => shapes.reduce((sum, shape) => sum + elementCount(shape), 0)
