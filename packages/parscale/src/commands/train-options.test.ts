/** What flags of `parscale train` make of a recipe, without running it. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join, relative } from 'node:path'
import process from 'node:process'
import { parscaleConfig } from '@parscale/core/internal/model'
import { expect, it } from 'vitest'
import { configOf } from './train-options.ts'

const data = ['/data/text.txt']

it('counts --train-tokens in steps of the batch as it is in the end, whoever set it', () => {
  const steps = (flags: Record<string, unknown>) => configOf('pretrain', { data, trainTokens: 4096, ...flags }).stages[0]!.steps
  expect(steps({})).toBe(2)
  expect(steps({ batchSize: 2 })).toBe(8)
  expect(steps({ set: ['batch.sequences=2', 'batch.microBatches=2'] })).toBe(4)
})

it('keeps a model that is a path findable from every folder, and the name of one on the hub', () => {
  const folder = mkdtempSync(join(tmpdir(), 'parscale-base-'))
  try {
    expect(configOf('recycle', { data, model: relative(process.cwd(), folder) }).base).toBe(folder)
    expect(configOf('recycle', { data, model: `nobody/${basename(folder)}` }).base).toBe(`nobody/${basename(folder)}`)
  } finally {
    rmSync(folder, { recursive: true })
  }
})

it('refuses to turn the input of one stream into those of several', () => {
  const flags = { data, steps: 10, secondSteps: 5, inputAtOne: true }
  expect(() => configOf('two-stage', { ...flags, p: 2 })).toThrow(/stages\.1.*streams\.inputAtOne/)
  expect(configOf('two-stage', { ...flags, p: 1 }).stages.map(({ p }) => p)).toEqual([1, 1])
})

it('begins streams as what the model has can begin', () => {
  const streams = (aggregation: 'static' | 'dynamic') => parscaleConfig({ n: 4, input: 'scales', aggregation })
  const init = (flags: Record<string, unknown>, aggregation: 'static' | 'dynamic') =>
    configOf('recycle', { data, model: 'nobody/model', p: 4, ...flags }, streams(aggregation)).streams.init
  expect(init({ streams: ['scales'] }, 'static')).toBe('random')
  expect(init({}, 'static')).toBe('random')
  expect(init({}, 'dynamic')).toBe('near-identity')
  expect(() => init({ init: 'near-identity' }, 'static')).toThrow(/--init \(streams\.init\).*choose random/)
})
