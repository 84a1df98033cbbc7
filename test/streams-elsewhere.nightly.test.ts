/**
 * Streams of our own kinds in other people's programs: a whole checkpoint is refused by name, and one stream that was folded into a plain
 * model gives there the logits that it gives here. transformers from PyPI, llama.cpp through node-llama-cpp.
 */
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseModelConfig } from '@parscale/core/internal/checkpoint'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { loadPeer } from '../bench/llama-peer.ts'
import { configJson } from '../packages/core/src/checkpoint/config-json.ts'
import { convertModel } from '../packages/core/src/node/models/index.ts'
import { loadEngine, maxDifference } from '../packages/core/src/testing/fixtures.ts'
import { writeRandomModel } from '../packages/core/src/testing/random-model.ts'
import { pythonEnvironment } from '../scripts/python-env.mjs'

const root = fileURLToPath(new URL('..', import.meta.url))
let folder: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'parscale-elsewhere-'))
})
afterAll(() => rmSync(folder, { recursive: true }))

const shape = {
  ...{ vocab_size: 37, hidden_size: 32, intermediate_size: 48, num_hidden_layers: 2, rms_norm_eps: 1e-6, rope_theta: 10000 },
  ...{
    num_attention_heads: 4,
    num_key_value_heads: 2,
    max_position_embeddings: 64,
    tie_word_embeddings: true,
    hidden_act: 'silu',
  },
}
const keys = { parscale_n: 1, parscale_version: 2, parscale_lora_rank: 2 }
const all = { ...keys, parscale_input: ['scales', 'lora', 'bitfit', 'norms'] }
const several = { ...keys, parscale_n: 2, parscale_aggregation: 'average', parscale_input: ['scales', 'lora', 'norms'] }
const ids = [1, 5, 9, 2, 36, 0, 7, 7, 30, 12]

/** As we write it. */
const written = (json: object) => configJson(parseModelConfig(json), { tied: true, dtype: 'F32' })

const logitsScript = `
import json, sys, torch
from transformers import AutoModelForCausalLM
model = AutoModelForCausalLM.from_pretrained(sys.argv[1], dtype=torch.float32).eval()
with torch.no_grad(): logits = model(torch.tensor([json.loads(sys.argv[2])])).logits[0]
print(json.dumps({'class': type(model).__name__, 'logits': logits.flatten().tolist()}))`

describe.each([
  ['llama, one stream of four kinds', { model_type: 'llama', ...shape, ...all }, undefined],
  ['qwen2, one stream of four kinds', { model_type: 'qwen2', ...shape, ...all }, undefined],
  ['qwen2, the second of two streams', { model_type: 'qwen2', ...shape, ...several }, 2],
] as const)('%s', (name, json, stream) => {
  const source = () => join(folder, name.replaceAll(/\W+/g, '-'))
  const folded = () => `${source()}-folded`
  let ours: number[]
  beforeAll(async () => {
    await writeRandomModel(source(), written(json))
    await convertModel(source(), folded(), { fold: { stream }, dtype: 'F32' })
    // What the stream gives alone in the model that it was folded from.
    const engine = await loadEngine(source())
    const sequence = engine.open()
    ours = []
    for (const id of ids) {
      const [out] = await engine.step([{ sequence, ids: [id], want: 'last', streamLogits: true }])
      const V = shape.vocab_size
      ours.push(...out!.streamLogits!.subarray(((stream ?? 1) - 1) * V, (stream ?? 1) * V))
    }
    await engine.dispose()
  })

  it('is refused by transformers as it is, by its name', () => {
    const { status, stderr } = spawnSync(pythonEnvironment('transformers'), ['-c', logitsScript, source(), JSON.stringify(ids)], {
      encoding: 'utf8',
    })
    expect(status).not.toBe(0)
    expect(stderr).toMatch(new RegExp(`ValueError.*model type \`parscale_${json.model_type}\``, 's'))
  })

  it('gives the same logits in transformers when it is folded', () => {
    const answer = execFileSync(pythonEnvironment('transformers'), ['-c', logitsScript, folded(), JSON.stringify(ids)], {
      encoding: 'utf8',
    })
    const theirs = JSON.parse(answer.trim().split('\n').at(-1)!) as { class: string; logits: number[] }
    console.info(`${name}: ${theirs.class}, largest difference of logits ${maxDifference(theirs.logits, ours).toExponential(1)}`)
    expect(maxDifference(theirs.logits, ours)).toBeLessThan(1e-4)
  })

  it('gives the same logits in llama.cpp when it is folded', async () => {
    const file = `${source()}.gguf`
    execFileSync(pythonEnvironment('gguf'), [`${root}bench/make-gguf.py`, 'folder', folded(), file])
    const peer = await loadPeer(file, { threads: 1 })
    const theirs: number[] = []
    for await (const logits of peer.distributions(ids, { cacheType: 'F32', flashAttention: false })) theirs.push(...logits)
    await peer.dispose()
    console.info(`${name}: llama.cpp, largest difference of logits ${maxDifference(theirs, ours).toExponential(1)}`)
    expect(maxDifference(theirs, ours)).toBeLessThan(1e-4)
  })
})
