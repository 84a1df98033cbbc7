/** A run whose config.json is not that of its checkpoint goes on as no other run, and nothing is exported of it. */
import { copyFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs'
import { beforeAll, expect, it } from 'vitest'
import { at, here, metrics, quick, succeed, tiny, train } from '../testing/train-runs.ts'

const streams = ['--streams', 'prefix,lora', '--stream-rank', '2', '--prefix-gate', '--p', '2']

beforeAll(async () => {
  await succeed('pretrain', '--data', at('text.txt'), ...tiny, ...quick, ...streams, '--steps', '2', '--out', at('run'))
  copyFileSync(at('run', 'config.json'), at('config.json'))
})

it.each([
  ['streams.gate', false, 'model.prefix_gate of shape [2], of which config.json of the run knows nothing'],
  ['streams.input', ['prefix'], 'lora_A of shape [2,2,16], of which config.json of the run knows nothing'],
  ['streams.input', ['prefix', 'lora', 'norms'], 'has no model.layers.0.input_layernorm.stream_gain'],
  ['streams.loraRank', 3, 'of shape [2,2,16], config.json of the run asks for [2,3,16]'],
  ['streams.prefixTokens', 5, 'of shape [2,1,4,8], config.json of the run asks for [2,1,5,8]'],
  ['streams.prefixMlp', 3, 'has no prefix_mlp.embedding'],
  ['streams.aggregation', 'static', 'has no model.aggregate_layer.logits'],
  ['stages.0.p', 3, 'config.json of the run asks for [3,'],
  ['shape.numHiddenLayers', 3, 'has no model.layers.2.'],
])('%s of %j', async (path, value, message) => {
  const config = JSON.parse(readFileSync(at('config.json'), 'utf8'))
  const keys = path.split('.')
  keys.slice(0, -1).reduce((inner, key) => inner[key], config)[keys.at(-1)!] = value
  config.stages[0].steps = 3
  writeFileSync(at('run', 'config.json'), JSON.stringify(config))
  for (const result of [await train('--resume', at('run')), await here('export', at('run'), '--out', at('model'))]) {
    expect(result.code).toBe(3)
    expect(result.stderr).toContain(message)
    expect(result.stderr).toContain(at('run'))
  }
  expect(existsSync(at('model'))).toBe(false)
  expect(metrics('run').at(-1)!.step).toBe(2)
})

it('a run that diverges at its last step ends as one that failed, and is not saved', async () => {
  const diverging = ['--learning-rate', '1e38', '--clip', '1e30', '--steps', '1', '--warmup-steps', '0']
  const result = await train('pretrain', '--data', at('text.txt'), ...tiny, ...quick, ...diverging, '--out', at('diverged'))
  expect(result.code).toBe(1)
  expect(result.stderr).toMatch(/step 1: the held-out loss is (NaN|Infinity): training diverged, and this step is not saved/)
  for (const name of ['checkpoints', 'model', 'evaluation.json']) expect(existsSync(at('diverged', name))).toBe(false)
})
