/**
 * P streams in one batch are P plain models: what each stream owns is folded into a copy of the weights,
 *
 *   W_p = (s_p r_p^T) * W + B_p A_p diag(r_p),   b_p' = s_p * b + b_p,   norm weights times g_p,   rows of the embedding e_p * E + o_p,
 *
 * and the copy is run by itself at P = 1, where nothing knows of streams.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { arrayStream, parseModelConfig, readF32 } from '../../checkpoint/index.ts'
import {
  backboneParameters,
  biasName,
  embeddingName,
  gainName,
  inputScaleName,
  layerTensors,
  linearInputs,
  loraName,
  outputScaleName,
} from '../../model/index.ts'
import { openModelFolder, writeModelFolder } from '../../node/index.ts'
import { maxDifference } from '../../testing/fixtures.ts'
import { writeRandomModel } from '../../testing/random-model.ts'
import type { EngineKind } from './engine-kind.ts'

const P = 3
const rank = 2
const plain = {
  ...{ model_type: 'llama', hidden_act: 'silu', vocab_size: 37, hidden_size: 16, intermediate_size: 40, num_hidden_layers: 2 },
  ...{ num_attention_heads: 4, num_key_value_heads: 2, rms_norm_eps: 1e-6, rope_theta: 10000, max_position_embeddings: 64 },
  ...{ attention_bias: true, mlp_bias: true, tie_word_embeddings: true },
}
const streamed = (input: readonly string[]) => ({
  ...plain,
  ...{ parscale_n: P, parscale_n_tokens: 0, parscale_attn_smooth: 0.1, parscale_version: 2, parscale_input: input },
  ...(input.includes('lora') ? { parscale_lora_rank: rank } : {}),
})

type Tensors = ReadonlyMap<string, Float32Array>

/** The weights of a plain model that computes what stream p does. */
function folded(tensors: Tensors, p: number): Map<string, Float32Array> {
  const config = parseModelConfig(plain)
  const out = new Map<string, Float32Array>()
  for (const { name } of backboneParameters(config, true)) out.set(name, tensors.get(name)!.slice())
  /** Stream p's part of a tensor [P, ...]; undefined where there is none. */
  const own = (name: string) => {
    const all = tensors.get(name)
    return all?.subarray((p * all.length) / P, ((p + 1) * all.length) / P)
  }
  const readBy = new Map<string, string>()
  for (const { name, roles } of Object.values(linearInputs)) for (const role of roles) readBy.set(role, name)
  const scaleNorm = (norm: string) => {
    const gain = own(gainName(norm))
    if (gain) for (const [i, g] of gain.entries()) out.get(`${norm}.weight`)![i]! *= g
  }
  scaleNorm('model.norm')
  const [scale, shift] = [own(outputScaleName(embeddingName)), own(biasName(embeddingName))]
  const table = out.get(`${embeddingName}.weight`)!
  if (scale && shift) for (const i of table.keys()) table[i] = table[i]! * scale[i % scale.length]! + shift[i % shift.length]!
  for (let l = 0; l < config.numHiddenLayers; l++) {
    for (const { role, layer, shape } of layerTensors(config, l)) {
      if (role.endsWith('Norm')) scaleNorm(layer)
      const input = readBy.get(role)
      if (input === undefined) continue
      const [rows, columns] = shape as [number, number]
      const [r, s] = [own(inputScaleName(`model.layers.${l}.${input}`)), own(outputScaleName(layer))]
      const [a, b, bias] = [own(loraName(layer, 'A')), own(loraName(layer, 'B')), own(biasName(layer))]
      const [W, offset] = [out.get(`${layer}.weight`)!, out.get(`${layer}.bias`)!]
      for (let i = 0; i < rows; i++) {
        for (let j = 0; j < columns; j++) {
          let low = 0
          for (let k = 0; k < rank; k++) low += b && a ? b[i * rank + k]! * a[k * columns + j]! : 0
          W[i * columns + j] = ((s?.[i] ?? 1) * W[i * columns + j]! + low) * (r?.[j] ?? 1)
        }
        offset[i] = (s?.[i] ?? 1) * offset[i]! + (bias?.[i] ?? 0)
      }
    }
  }
  return out
}

export function foldedContract({ load, refusal }: EngineKind): void {
  let folder: string
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'parscale-folded-'))
  })
  afterAll(() => rmSync(folder, { recursive: true }))

  it.each([
    [['scales']],
    [['lora']],
    [['norms', 'bitfit']],
    [['embedding']],
    [['scales', 'lora', 'bitfit', 'norms', 'embedding']],
  ])('%j', async (input) => {
    const config = streamed(input)
    if (refusal?.(parseModelConfig(config)) !== undefined) return
    const at = join(folder, input.join())
    await writeRandomModel(at, config)
    const open = await openModelFolder(at)
    const tensors = new Map<string, Float32Array>()
    for (const [name, tensor] of open.tensors) tensors.set(name, await readF32(tensor))
    await open.close()

    const ids = Array.from({ length: 11 }, (_, i) => (5 * i * i + 3) % 37)
    const hidden = async (path: string, each: (out: { streams: Float32Array; hidden: Float32Array }) => void) => {
      const engine = await load(path, { threads: 2 })
      const sequence = engine.open()
      const [all] = await engine.step([{ sequence, ids, want: 'all' }])
      engine.close(sequence)
      each(all!)
      await engine.dispose()
    }
    let together = new Float32Array() // [tokens, P, H]
    await hidden(at, ({ streams }) => {
      together = Float32Array.from(streams)
    })
    for (let p = 0; p < P; p++) {
      const alone = `${at}-${p}`
      const shapes = new Map(backboneParameters(parseModelConfig(plain), true).map(({ name, shape }) => [name, shape]))
      await writeModelFolder(alone, {
        files: new Map([['config.json', new TextEncoder().encode(JSON.stringify(plain))]]),
        tensors: [...folded(tensors, p)].map(([name, values]) => arrayStream(name, shapes.get(name)!, values)),
      })
      const H = plain.hidden_size
      await hidden(alone, (out) => {
        for (const t of ids.keys()) {
          const stream = together.subarray((t * P + p) * H, (t * P + p + 1) * H)
          // Sums of some dozens of terms in another order; states are of size 1 to 10.
          expect(maxDifference(stream, out.hidden.subarray(t * H, (t + 1) * H)), `stream ${p}, token ${t}`).toBeLessThan(1e-4)
        }
      })
    }
  })
}
