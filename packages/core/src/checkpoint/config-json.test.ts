import { readdirSync, readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { ModelConfig } from '../model/config.ts'
import { families, modelTypes } from '../model/families.ts'
import { hasStreams, parscaleConfig } from '../model/stream-options.ts'
import { parseModelConfig } from './config.ts'
import { configJson } from './config-json.ts'

const fixtures = new URL('../../../../fixtures/', import.meta.url)
const configs = ['goldens', 'transformers'].flatMap((folder) =>
  readdirSync(new URL(`${folder}/`, fixtures), { recursive: true, encoding: 'utf8' })
    .filter((path) => /(^|[\\/])config\.json$/.test(path))
    .map((path) => [`${folder}/${path}`, JSON.parse(readFileSync(new URL(`${folder}/${path}`, fixtures), 'utf8'))] as const),
)

/** What decides the numbers. */
const meaning = ({ raw, modelType, tieWordEmbeddings, ...fields }: ModelConfig) => fields

describe.each(configs)('%s', (_, json) => {
  const config = parseModelConfig(json)
  const tied = config.tieWordEmbeddings ?? false
  const own = hasStreams(config) && !families[config.modelType].reference

  it('comes back as it was', () => {
    const written = configJson(config, { tied, dtype: 'F32' })
    // Without streams, two numbers in the file of parscale-p1 mean nothing.
    const idle = config.parscale.n === 1 && 'parscale_n' in json ? { parscale_n_tokens: 0, parscale_attn_smooth: 0 } : {}
    const typeKey = 'dtype' in json ? 'dtype' : 'torch_dtype'
    const names = own && {
      model_type: `parscale_${config.modelType}`,
      architectures: [`ParScale${families[config.modelType].className}`],
    }
    expect(written).toEqual({ ...json, ...idle, ...names, tie_word_embeddings: tied, [typeKey]: 'float32' })
  })

  it('means the same when nothing but the fields is known, as for a fresh model', () => {
    const written = configJson({ ...config, raw: {} }, { tied, dtype: 'BF16' })
    expect(meaning(parseModelConfig(written))).toEqual(meaning(config))
    const model_type = `${own ? 'parscale_' : ''}${config.modelType}`
    expect(written).toMatchObject({ model_type, torch_dtype: 'bfloat16', tie_word_embeddings: tied })
  })
})

const [, plain] = configs.find(([name]) => name.includes('qwen2-p1'))!

const streams = fc.oneof(
  fc.record({
    n: fc.constantFrom(1, 2, 8),
    input: fc.constant('prefix' as const),
    nTokens: fc.integer({ min: 1, max: 99 }),
    gate: fc.boolean(),
  }),
  fc.record({ n: fc.constantFrom(1, 3), input: fc.constant('lora' as const), loraRank: fc.integer({ min: 1, max: 64 }) }),
  fc.record({
    n: fc.constantFrom(2, 4),
    input: fc.constant('bitfit' as const),
    aggregation: fc.constantFrom('static', 'average'),
  }),
)

it('says every choice of streams, whatever the family', () => {
  fc.assert(
    fc.property(fc.constantFrom(...modelTypes), streams, fc.constantFrom(0, 0.01, 1), (modelType, options, attnSmooth) => {
      const parscale = parscaleConfig({ ...options, attnSmooth } as Parameters<typeof parscaleConfig>[0])
      const [, json] = configs.find(([, { model_type }]) => model_type === modelType)!
      const config = { ...parseModelConfig(json), parscale }
      expect(parseModelConfig(configJson(config, { tied: true, dtype: 'F32' })).parscale).toEqual(parscale)
    }),
    { seed: 4 },
  )
})

it('calls Qwen2 with the published streams by the name that the reference knows, and nothing else', () => {
  const typeOf = (options: Parameters<typeof parscaleConfig>[0]) =>
    configJson({ ...parseModelConfig(plain), parscale: parscaleConfig(options) }, { tied: true, dtype: 'F32' })
  expect(typeOf({ n: 2 })).toMatchObject({
    model_type: 'qwen2_parscale',
    architectures: ['Qwen2ParScaleForCausalLM'],
    parscale_n: 2,
    parscale_n_tokens: 48,
    parscale_attn_smooth: 0.1,
  })
  // transformers would load a qwen2 and leave the streams out.
  for (const options of [
    { n: 2, aggregation: 'average' },
    { n: 2, input: 'scales' },
    { n: 1, input: 'lora' },
    { n: 2, ownWindow: 64 },
  ] as const)
    expect(typeOf(options)).toMatchObject({ model_type: 'parscale_qwen2', architectures: ['ParScaleQwen2ForCausalLM'] })
  expect(Object.keys(typeOf({ n: 1 })).filter((key) => key.startsWith('parscale'))).toEqual([])
})

it('drops what the file said of other streams', () => {
  const raw = { ...plain, parscale_n: 8, parscale_lora_rank: 2, parscale_backbone_sha256: 'abc' }
  const written = configJson({ ...parseModelConfig(plain), raw }, { tied: true, dtype: 'F32' })
  expect(Object.keys(written).filter((key) => key.startsWith('parscale'))).toEqual([])
})
