/** Several stream sets on one backbone: what each adds to what the engine is given, and which of two with one P is taken. */
import { cpSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Model, modelFiles } from '@parscale/core/internal/generation'
import { elementCount, streamParameters } from '@parscale/core/internal/model'
import { openModelFolder } from '@parscale/core/internal/node'
import { onnxRuntime } from '@parscale/core/internal/node/onnx-runtime'
import type { Runtime } from '@parscale/core/internal/runtime'
import { expect, it } from 'vitest'
import { fixturesFolder } from '../../../core/src/testing/fixtures.ts'
import { writeRandomModel } from '../../../core/src/testing/random-model.ts'
import { shippedModel } from './find-model.ts'
import { type OpenOptions, openModel, openModelStreamed } from './open-model.ts'

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

it.each([
  ['as it lies on the disk', openModel],
  ['made while it is read', (model?: string, options: OpenOptions = {}) => openModelStreamed(model, { ...options, bits: 8 })],
])('takes a set that is named in place of the one of the model with its P: %s', async (_, open) => {
  const folder = mkdtempSync(join(tmpdir(), 'parscale-sets-'))
  try {
    const named = join(folder, 'mine')
    cpSync(join(shippedModel, 'streams', 'p2'), named, { recursive: true })
    const opened = (await open(undefined, { streamSets: [named] }))!
    expect(opened.streamSets.map(({ config }) => config.parscale.n).sort()).toEqual([2, 4, 8])
    expect(opened.streamSets.find(({ config }) => config.parscale.n === 2)!.path).toBe(named)
    await opened.close()
    await expect(open(undefined, { streamSets: [named, named] })).rejects.toThrow(/a stream set with P = 2 is loaded already/)
  } finally {
    rmSync(folder, { recursive: true })
  }
})

it('takes a set that is named in place of the one that the backbone holds itself', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'parscale-own-'))
  try {
    const [own, named] = [join(fixturesFolder, 'options/lora-p2-dynamic'), join(folder, 'mine')]
    await writeRandomModel(named, JSON.parse(readFileSync(join(own, 'config.json'), 'utf8')))
    // A whole checkpoint is a set, too; its backbone has to be the other's.
    const tensors = await openModelFolder(own)
    const set = await openModelFolder(named)
    const backbone = { ...set, path: own, tensors: new Map([...set.tensors, ...tensors.tensors]) }
    const { streamSets } = await modelFiles(backbone, [set])
    const [lora] = [...streamSets[0]!.adapters.values()]
    expect(streamSets.length).toBe(1)
    expect(lora).toEqual((await modelFiles(set)).streamSets[0]!.adapters.values().next().value)
    expect(lora).not.toEqual((await modelFiles(backbone)).streamSets[0]!.adapters.values().next().value)
    await Promise.all([tensors.close(), set.close()])
    const opened = await openModel(own, { streamSets: [own] })
    expect(opened.streamSets.map(({ path }) => path)).toEqual([own])
    await opened.close()
  } finally {
    rmSync(folder, { recursive: true })
  }
})

const sum = (shapes: readonly (readonly number[])[]): number => shapes.reduce((sum, shape) => sum + elementCount(shape), 0)
