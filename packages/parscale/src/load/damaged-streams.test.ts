/**
 * Models of every kind of streams, damaged in every way of a table: each is refused by the name of the tensor or the key, with what
 * was expected, by both engines, and by what would write it anew; nothing of it is computed or left on disk.
 */
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { isParscaleError, type ParscaleError } from '@parscale/core/internal'
import { Engine } from '@parscale/core/internal/generation'
import { convertModel, quantiseModel } from '@parscale/core/internal/node'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { writeRandomModel } from '../../../core/src/testing/random-model.ts'
import { shippedModel } from '../package-files.ts'
import { engines } from '../testing/engines.ts'
import { examineModel } from './examine.ts'
import { loadModel } from './load.ts'

const plain = {
  model_type: 'parscale_llama',
  vocab_size: 32,
  hidden_size: 32,
  intermediate_size: 32,
  num_hidden_layers: 1,
  num_attention_heads: 2,
  num_key_value_heads: 1,
  hidden_act: 'silu',
  rms_norm_eps: 1e-6,
  rope_theta: 10000,
  max_position_embeddings: 64,
  tie_word_embeddings: true,
  parscale_n: 3,
  parscale_attn_smooth: 0.1,
}
const all = ['prefix', 'scales', 'lora', 'bitfit', 'norms', 'embedding']
const sizes = { parscale_n_tokens: 4, parscale_lora_rank: 2 }

/** Every kind and every way to join streams, with a tensor of each part. */
const models: Readonly<Record<string, { json: Record<string, unknown>; tensors: readonly string[] }>> = {
  prefix: { json: { parscale_input: 'prefix', ...sizes }, tensors: ['model.layers.0.self_attn.prefix_k'] },
  scales: {
    json: { parscale_input: 'scales', parscale_merge: 'probabilities' },
    tensors: ['model.layers.0.self_attn.qkv_proj.stream_input_scale'],
  },
  lora: {
    json: { parscale_input: 'lora', parscale_aggregation: 'static', ...sizes },
    tensors: ['model.layers.0.mlp.up_proj.lora_B', 'model.aggregate_layer.logits'],
  },
  bitfit: {
    json: { parscale_input: 'bitfit', parscale_aggregation: 'average' },
    tensors: ['model.layers.0.self_attn.o_proj.stream_bias'],
  },
  norms: { json: { parscale_input: 'norms' }, tensors: ['model.norm.stream_gain', 'model.aggregate_layer.0.weight'] },
  embedding: {
    json: { parscale_input: 'embedding' },
    tensors: ['model.embed_tokens.stream_bias', 'model.aggregate_layer.2.bias'],
  },
  all: { json: { parscale_input: all, parscale_prefix_gate: true, ...sizes }, tensors: ['model.prefix_gate'] },
  'P = 1': {
    json: { parscale_input: 'scales', parscale_n: 1 },
    tensors: ['model.layers.0.self_attn.k_proj.stream_output_scale'],
  },
}

interface Header {
  dtype: string
  shape: number[]
  data_offsets: [number, number]
}
interface Tensor {
  readonly dtype: string
  readonly shape: readonly number[]
  readonly bytes: Buffer
}
type Tensors = Map<string, Tensor>

function readTensors(file: string): Tensors {
  const all = readFileSync(file)
  const start = 8 + Number(all.readBigUInt64LE(0))
  const { __metadata__: _, ...header } = JSON.parse(all.toString('utf8', 8, start)) as Record<string, Header>
  return new Map(
    Object.entries(header).map(
      ([
        name,
        {
          dtype,
          shape,
          data_offsets: [from, to],
        },
      ]) => [name, { dtype, shape, bytes: all.subarray(start + from, start + to) }],
    ),
  )
}

/** @param lie changes the header behind the writer's back */
function fileOf(tensors: Tensors, lie: (header: Record<string, Header>) => void = () => {}): Buffer {
  let end = 0
  const header: Record<string, Header> = {}
  for (const [name, { dtype, shape, bytes }] of tensors) {
    header[name] = { dtype, shape: [...shape], data_offsets: [end, end + bytes.length] }
    end += bytes.length
  }
  lie(header)
  const text = Buffer.from(JSON.stringify(header))
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(text.length))
  return Buffer.concat([length, text, ...[...tensors.values()].map(({ bytes }) => bytes)])
}

const count = (shape: readonly number[]) => shape.reduce((product, size) => product * size, 1)
const floats = (shape: readonly number[], value = 0.1): Tensor => ({
  dtype: 'F32',
  shape,
  bytes: Buffer.from(new Float32Array(count(shape)).fill(value).buffer),
})
const halves = (dtype: string, { shape }: Tensor, bits: number): Tensor => ({
  dtype,
  shape,
  bytes: Buffer.from(new Uint16Array(count(shape)).fill(bits).buffer),
})

/** What is made of one tensor; undefined: it goes. */
const changes: Readonly<Record<string, (tensor: Tensor) => Tensor | undefined>> = {
  missing: () => undefined,
  'of one stream more': ({ shape: [P, ...rest] }) => floats([P! + 1, ...rest]),
  'of one stream less': ({ shape: [P, ...rest] }) => floats([P! - 1, ...rest]),
  'longer at the end': ({ shape }) => floats([...shape.slice(0, -1), shape.at(-1)! + 1]),
  'of another middle size': ({ shape: [P, middle = 0, ...rest] }) => floats([P!, middle + 1, ...rest]),
  'turned around': ({ shape, ...rest }) => ({ ...rest, shape: [...shape.slice(1), shape[0]!, 1] }),
  flat: ({ shape, ...rest }) => ({ ...rest, shape: [count(shape), 1, 1, 1] }),
  scalar: () => floats([]),
  empty: ({ shape: [, ...rest] }) => floats([0, ...rest]),
  'of whole numbers': ({ shape }) => ({ dtype: 'I32', shape, bytes: Buffer.alloc(4 * count(shape)) }),
  'of doubles': ({ shape }) => ({ dtype: 'F64', shape, bytes: Buffer.alloc(8 * count(shape)) }),
  'of eight bits': ({ shape }) => ({ dtype: 'F8_E4M3', shape, bytes: Buffer.alloc(count(shape)) }),
  NaN: ({ shape }) => floats(shape, Number.NaN),
  infinite: ({ shape }) => floats(shape, -Infinity),
  'NaN in half precision': (tensor) => halves('F16', tensor, 0x7e00),
  'infinite in bfloat16': (tensor) => halves('BF16', tensor, 0x7f80),
}

/** What a header says that is not so. */
const lies: Readonly<Record<string, (entry: Header) => void>> = {
  'beyond the end': (entry) => {
    entry.data_offsets = [entry.data_offsets[0], 1e12]
  },
  reversed: (entry) => {
    entry.data_offsets.reverse()
  },
  'of a huge shape': (entry) => {
    entry.shape = [2 ** 31, 2 ** 31, 2 ** 31]
  },
  'of negative sizes': (entry) => {
    entry.shape = entry.shape.map((size) => -size)
  },
  'half as large': (entry) => {
    entry.dtype = 'F16'
  },
  'of no type': (entry) => {
    entry.dtype = undefined as unknown as string
  },
  'of a type that there is not': (entry) => {
    entry.dtype = '__proto__'
  },
}

/** Keys of config.json, as JSON in place of those of the model of scales, and what the error names. */
const keys: readonly (readonly [keys: string, named: RegExp])[] = [
  ['"parscale_n": 4', /\[3,.*\[4,.*parscale_n 3, config.json says 4/],
  ['"parscale_n": 1', /stream_input_scale.*parscale_n 3, config.json says 1/],
  ['"parscale_n": 0', /parscale_n/],
  ['"parscale_n": -2', /parscale_n/],
  ['"parscale_n": 2.5', /parscale_n/],
  ['"parscale_n": 1e15', /parscale_n 3, config.json says 1000000000000000/],
  ['"parscale_n": "3"', /parscale_n/],
  ['"parscale_n": NaN', /config.json is not valid JSON/],
  ['"parscale_input": "spectral"', /parscale_input is "spectral"; there are prefix/],
  ['"parscale_input": "__proto__"', /parscale_input is "__proto__"; there are prefix/],
  ['"parscale_input": ["scales", "scales"]', /parscale_input: .*named once/],
  ['"parscale_input": []', /parscale_input: .*nothing tells apart/],
  ['"parscale_input": [3]', /parscale_input/],
  ['"parscale_input": {"0": "scales"}', /parscale_input/],
  ['"parscale_input": "prefix"', /parscale_n_tokens is missing/],
  ['"parscale_input": "prefix", "parscale_n_tokens": 1e12', /prefix_k is missing.*as parscale_input names prefix: change that/],
  ['"parscale_input": ["scales", "lora"]', /parscale_lora_rank is missing/],
  ['"parscale_input": ["scales", "lora"], "parscale_lora_rank": 1e9', /lora_A is missing.*as parscale_input names lora/],
  ['"parscale_input": ["norms"]', /stream_gain is missing.*as parscale_input names norms/],
  ['"parscale_prefix_gate": true', /parscale_prefix_gate: .*prefix must be among/],
  ['"parscale_attn_smooth": 1.5', /parscale_attn_smooth/],
  ['"parscale_attn_smooth": null', /parscale_attn_smooth/],
  ['"parscale_own_window": 0', /parscale_own_window/],
  ['"parscale_own_window": 1e400', /parscale_own_window/],
  ['"parscale_merge": "logits"', /parscale_merge is "logits"; there are hidden/],
  ['"parscale_merge": true', /parscale_merge/],
  ['"parscale_aggregation": "static"', /aggregate_layer.logits is missing.*as parscale_aggregation is static/],
  ['"parscale_aggregation": "average"', /aggregate_layer.* has no place.*parscale_aggregation/],
  ['"parscale_aggregation": "vote"', /parscale_aggregation is "vote"/],
  ['"parscale_version": 99', /parscale_version is 99.*newer/],
]

/** Tensors that are not of the model of scales. */
const strangers: readonly (readonly [name: string, shape: readonly number[], named: RegExp])[] = [
  ['model.layers.0.self_attn.q_proj.lora_A', [3, 2, 32], /of the kind lora, and the streams of config.json have scales/],
  ['model.layers.0.self_attn.prefix_k', [3, 1, 4, 16], /of the kind prefix/],
  ['model.prefix_gate', [3], /of the kind prefix/],
  ['model.aggregate_layer.logits', [3], /aggregator's, and config.json joins streams by dynamic/],
  ['model.layers.1.mlp.down_proj.stream_output_scale', [3, 1, 32], /does config.json .* belong to it/],
]

let scratch: string
beforeAll(() => {
  scratch = mkdtempSync(join(tmpdir(), 'parscale-damaged-'))
})
afterAll(() => rmSync(scratch, { recursive: true }))

async function run(folder: string, engine: (typeof engines)[number], bits?: 8): Promise<Float32Array> {
  const { model, close } = await loadModel(folder, { engine, bits, threads: 1, contextTokens: 16 })
  const engineOf = new Engine(model)
  try {
    const [out] = await engineOf.step([{ sequence: engineOf.open(), ids: [1, 2, 3], want: 'last' }])
    return out!.logits.slice()
  } finally {
    await engineOf.dispose()
    await close()
  }
}

const refusal = (work: Promise<unknown>): Promise<ParscaleError> =>
  work.then(
    () => expect.unreachable('it was taken'),
    (error: unknown) => {
      if (isParscaleError(error)) return error
      throw error
    },
  )

/** Files of a folder that this process holds open, where the system tells. */
function openFiles(folder: string): string[] {
  const list = '/proc/self/fd'
  if (!existsSync(list)) return []
  // The listing itself is one that is gone.
  const paths = readdirSync(list).flatMap((fd) => (existsSync(join(list, fd)) ? readlinkSync(join(list, fd)) : []))
  return paths.filter((path) => path.startsWith(folder))
}

/** What `parscale inspect` says is wrong, or why it describes nothing. */
async function problemsOf(folder: string, bits?: 8): Promise<string[]> {
  try {
    return (await examineModel(folder, { bits })).problems.map(({ message }) => message)
  } catch (error) {
    return [await refusal(Promise.reject(error)).then(({ message }) => message)]
  }
}

/** Refused by both engines and by what would write it anew, each time by the same name, which a description says, too. */
async function expectRefused(folder: string, named: RegExp | string): Promise<void> {
  const target = join(scratch, 'written')
  const ways = [
    ...engines.map((engine) => () => run(folder, engine)),
    () => run(folder, engines.at(-1)!, 8),
    () => convertModel(folder, target),
    () => quantiseModel(folder, target, { bits: 8 }),
  ]
  for (const way of ways) {
    const { kind, message } = await refusal(way())
    expect(message).toMatch(named)
    expect(message).toContain(folder)
    expect(message).not.toMatch(/undefined|\[object/)
    expect(['checkpoint', 'unsupported']).toContain(kind)
  }
  const { message } = await refusal(run(folder, 'onnx'))
  const described = await problemsOf(folder)
  expect(described[0]).toBe(message)
  expect((await problemsOf(folder, 8))[0]).toMatch(named)
  expect(described.join()).not.toMatch(/undefined|\[object/)
  expect(existsSync(target)).toBe(false)
  expect(openFiles(folder)).toEqual([])
}

describe.each(Object.entries(models))('%s', (name, { json, tensors }) => {
  let folder: string
  let sound: Tensors
  const weights = () => join(folder, 'model.safetensors')
  beforeAll(async () => {
    folder = join(scratch, name.replaceAll(' ', ''))
    await writeRandomModel(folder, { ...plain, ...json })
    sound = readTensors(weights())
  })

  it.each(engines)('runs on %s as it is', async (engine) => {
    const logits = await run(folder, engine)
    expect(logits.every(Number.isFinite)).toBe(true)
    expect([await problemsOf(folder), await problemsOf(folder, 8)]).toEqual([[], []])
  })

  it.each(Object.entries(changes))('refuses a tensor that is %s', async (_, change) => {
    for (const tensor of tensors) {
      const changed = change(sound.get(tensor)!)
      if (changed?.shape.join() === sound.get(tensor)!.shape.join() && changed.bytes.equals(sound.get(tensor)!.bytes)) continue
      const rest = [...sound].flatMap(([each, value]): [string, Tensor][] =>
        each !== tensor ? [[each, value]] : changed ? [[each, changed]] : [],
      )
      writeFileSync(weights(), fileOf(new Map(rest)))
      await expectRefused(folder, tensor)
    }
  })

  it.each(Object.entries(lies))('refuses a header that says %s', async (_, lie) => {
    for (const tensor of tensors) {
      writeFileSync(
        weights(),
        fileOf(sound, (header) => lie(header[tensor]!)),
      )
      await expectRefused(folder, tensor)
    }
  })
})

describe('a configuration of other streams', () => {
  let folder: string
  let text: string
  let sound: Tensors
  beforeAll(async () => {
    folder = join(scratch, 'other')
    await writeRandomModel(folder, { ...plain, ...models.scales!.json })
    text = readFileSync(join(folder, 'config.json'), 'utf8')
    sound = readTensors(join(folder, 'model.safetensors'))
  })

  it.each(keys)('refuses %s', async (key, named) => {
    // As text, as NaN is no JSON; no key twice.
    const others = Object.entries({ ...plain, ...models.scales!.json }).filter(([name]) => !key.includes(`"${name}":`))
    writeFileSync(join(folder, 'config.json'), `${JSON.stringify(Object.fromEntries(others)).slice(0, -1)}, ${key}}`)
    await expectRefused(folder, named)
  })

  it.each(strangers)('refuses a tensor %s', async (name, shape, named) => {
    writeFileSync(join(folder, 'config.json'), text)
    writeFileSync(join(folder, 'model.safetensors'), fileOf(new Map(sound).set(name, floats(shape))))
    await expectRefused(folder, named)
  })
})

it('refuses a stream set that has more than its config.json says, and quantises none of it', async () => {
  const folder = join(scratch, 'sets')
  cpSync(shippedModel, folder, { recursive: true })
  const file = join(folder, 'streams/p2/config.json')
  writeFileSync(file, JSON.stringify({ ...JSON.parse(readFileSync(file, 'utf8')), parscale_input: 'norms' }))
  await expectRefused(folder, /streams.p2: tensor .*lora_A .* is of the kind lora, and the streams of config.json have norms/)
})
