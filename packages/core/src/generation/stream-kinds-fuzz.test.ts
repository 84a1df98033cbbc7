/**
 * Checkpoints of every kind of streams with their configuration or their tensors changed at random. Each is refused, by file and by
 * tensor or key, or computes what numpy computed for the streams that these tensors are (fixtures/options): what streams give
 * follows from the tensors alone, and how they are joined from the keys.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import process from 'node:process'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { readF32 } from '../checkpoint/index.ts'
import { jsonBytes } from '../checkpoint/json-text.ts'
import { arrayStream } from '../checkpoint/tensor-stream.ts'
import { isParscaleError, type ParscaleError } from '../errors.ts'
import { type ModelFolder, openModelFolder, writeModelFolder } from '../node/index.ts'
import { createRandom, type Random } from '../random.ts'
import { type Fixture, loadEngine, maxDifference, readFixture } from '../testing/fixtures.ts'
import { testSeed as seed } from '../testing/seed.ts'
import type { StepResult } from './index.ts'
import { optionFixtures } from './testing/options-contract.ts'

const count = Number(process.env.PARSCALE_STREAM_FUZZ_COUNT ?? 40)

interface Tensor {
  readonly shape: readonly number[]
  readonly values: Float32Array
}
interface Changed {
  readonly what: string
  readonly json: Record<string, unknown>
  readonly tensors: ReadonlyMap<string, Tensor>
  /** Tensors that are not as they were: each makes the model another one, so that it has to be refused by this name. */
  readonly wrong: readonly string[]
}

const isStreams = (name: string) => /prefix|lora|stream|aggregate/.test(name)

describe.each(optionFixtures)(`%s, seed ${seed}`, (name) => {
  let fixture: Fixture
  let json: Record<string, unknown>
  let sound: Map<string, Tensor>
  let scratch: string
  beforeAll(async () => {
    scratch = mkdtempSync(join(tmpdir(), 'parscale-kinds-'))
    fixture = await readFixture(`options/${name}`)
    const open = await openModelFolder(fixture.folder)
    json = { ...open.configJson }
    sound = await allTensors(open)
    await open.close()
  })
  afterAll(() => rmSync(scratch, { recursive: true }))

  it('refuses it, or computes it', async () => {
    let [refused, computed] = [0, 0]
    for (let index = 0; index < count; index++) {
      const random = createRandom((seed % 2 ** 31) * 1000 + index)
      const changed = change(json, sound, random)
      const folder = join(scratch, String(index))
      const tensors = [...changed.tensors].map(([name, { shape, values }]) => arrayStream(name, shape, values))
      await writeModelFolder(folder, { files: new Map([['config.json', jsonBytes(changed.json)]]), tensors })
      const again = `${changed.what}; again: PARSCALE_SEED=${seed}, the change with index ${index}`
      const error = await run(folder, fixture.expected.input_ids).then(
        (result) => {
          expect(changed.wrong, again).toEqual([])
          expectRight(result, changed, again)
          return undefined
        },
        (error: unknown) => error as Error,
      )
      if (!error) computed++
      else if (isParscaleError(error)) {
        refused++
        expectNamed(error, changed, basename(folder), again)
      } else throw new Error(again, { cause: error })
      rmSync(folder, { recursive: true })
    }
    // Most changes are mistakes; a few are another way to say the same, or another way to join the same streams.
    expect(refused).toBeGreaterThan(count / 3)
    expect(refused + computed).toBe(count)
  })

  function expectRight({ streams, streamWeights, logits }: StepResult, { json: said }: Changed, again: string): void {
    const expected = (key: string) => fixture.arrays.get(key)!
    const [T, P, H] = expected('streams').shape as [number, number, number]
    const tolerance = 1e-4 // fixtures/options/README.md
    expect(maxDifference(streams, expected('streams').data), again).toBeLessThan(tolerance)
    if (P === 1) return
    const smoothing = (from: Record<string, unknown>) =>
      from.parscale_aggregation === 'average' ? 0 : Number(from.parscale_attn_smooth)
    const [before, after] = [smoothing(json), smoothing(said)]
    const weights = Array.from(expected('weights').data, (w) =>
      said.parscale_aggregation === 'average' ? 1 / P : ((w - before / P) / (1 - before)) * (1 - after) + after / P,
    )
    expect(maxDifference(streamWeights, weights), again).toBeLessThan(tolerance)
    const output = (sound.get('lm_head.weight') ?? sound.get('model.embed_tokens.weight'))!
    const V = output.shape[0]!
    const logitsOf = (hidden: ArrayLike<number>) =>
      Array.from({ length: V }, (_, v) => Array.from(hidden).reduce((sum, h, i) => sum + h * output.values[v * H + i]!, 0))
    const all = expected('streams').data
    const mixed = Array.from({ length: T }, (_, t) => {
      const shares = weights.slice(t * P, (t + 1) * P)
      const hidden = shares.map((_, p) => all.subarray((t * P + p) * H, (t * P + p + 1) * H))
      if (said.parscale_merge !== 'probabilities')
        return logitsOf(Array.from({ length: H }, (_, h) => shares.reduce((sum, w, p) => sum + w * hidden[p]![h]!, 0)))
      const each = hidden.map((one) => softmax(logitsOf(one)))
      return Array.from({ length: V }, (_, v) => Math.log(shares.reduce((sum, w, p) => sum + w * each[p]![v]!, 0)))
    })
    expect(maxDifference(logits, mixed.flat()), again).toBeLessThan(2 * tolerance)
  }
})

async function allTensors(open: ModelFolder): Promise<Map<string, Tensor>> {
  const all = new Map<string, Tensor>()
  for (const [name, tensor] of open.tensors) all.set(name, { shape: tensor.shape, values: await readF32(tensor) })
  return all
}

async function run(folder: string, ids: readonly number[]): Promise<StepResult> {
  const engine = await loadEngine(folder, { threads: 1 })
  try {
    const [out] = await engine.step([{ sequence: engine.open(), ids, want: 'all' }])
    const { streams, streamWeights, logits, hidden } = out!
    return { streams: streams.slice(), streamWeights: streamWeights.slice(), logits: logits.slice(), hidden }
  } finally {
    await engine.dispose()
  }
}

const softmax = (logits: readonly number[]) => {
  const max = Math.max(...logits)
  const sum = logits.reduce((total, x) => total + Math.exp(x - max), 0)
  return logits.map((x) => Math.exp(x - max) / sum)
}

function expectNamed(error: ParscaleError, { wrong, json }: Changed, folder: string, again: string): void {
  const { message } = error
  expect(['checkpoint', 'unsupported'], `${message}; ${again}`).toContain(error.kind)
  expect(message, again).toContain(folder)
  // Where only the file's tensors are wrong, by name; where the configuration is, by the key or by a tensor that it asks for.
  const named =
    wrong.length > 0
      ? wrong
      : ['model.', ...Object.keys(json).filter((key) => key.startsWith('parscale_')), 'streams: ', 'parscale_']
  expect(
    named.some((name) => message.includes(name)),
    `${message}; ${again}`,
  ).toBe(true)
}

const kinds = ['prefix', 'scales', 'lora', 'bitfit', 'norms']
const garbage = [null, -1, 0, 1, 2, 3, 8, 0.5, 1e9, 'x', '', [], {}, true, ['prefix', 'prefix'], ['spectral'], 'none', NaN]

function change(json: Record<string, unknown>, tensors: ReadonlyMap<string, Tensor>, random: Random): Changed {
  const pick = <T>(list: readonly T[]): T => list[random.below(list.length)]!
  const names = [...tensors.keys()].filter(isStreams)
  const keyed = (what: string, changes: Record<string, unknown>): Changed => ({
    what: `${what} ${JSON.stringify(changes)}`,
    json: Object.fromEntries(Object.entries({ ...json, ...changes }).filter(([, value]) => value !== undefined)),
    tensors,
    wrong: [],
  })
  const tensor = (what: string, name: string, to: Tensor | undefined): Changed => {
    const changed = new Map(tensors)
    if (to) changed.set(name, to)
    else changed.delete(name)
    return { what: `${what} ${name} [${to?.shape}]`, json, tensors: changed, wrong: [name] }
  }
  const name = pick(names)
  const { shape, values } = tensors.get(name)!
  const ownKeys = Object.keys(json).filter((key) => key.startsWith('parscale_'))
  switch (random.below(14)) {
    case 0:
      return keyed('another number of streams', { parscale_n: pick([1, 2, 3, 4, 8].filter((n) => n !== json.parscale_n)) })
    case 1: {
      const some = kinds.filter(() => random.below(2) === 0)
      const had = [json.parscale_input].flat()
      const same = some.length === had.length && some.every((kind) => had.includes(kind))
      return keyed(
        'other kinds',
        same ? {} : { parscale_input: some, parscale_lora_rank: 2, parscale_n_tokens: 3, parscale_version: 2 },
      )
    }
    case 2:
      return keyed('the same kinds in another order', {
        parscale_input: [json.parscale_input].flat().reverse(),
        parscale_version: 2,
      })
    case 3:
      return keyed('an unknown kind', {
        parscale_input: [...[json.parscale_input].flat(), pick(['embeddings', 'moe', 'LoRA', ''])],
      })
    case 4:
      return keyed('another joining', {
        ...(random.below(2) === 0 && { parscale_merge: pick(['hidden', 'probabilities', 'logits']), parscale_version: 2 }),
        ...(random.below(2) === 0 && { parscale_aggregation: pick(['dynamic', 'static', 'average', 'vote']) }),
        ...(random.below(2) === 0 && { parscale_attn_smooth: pick([0, 0.25, 0.9, -0.1, 1.5]) }),
      })
    case 5:
      return keyed('a key of any value', { [pick(ownKeys)]: pick(garbage) })
    case 6:
      return keyed('a key that is gone', { [pick(ownKeys)]: undefined })
    case 7:
      return keyed('another rank or length', { [pick(['parscale_lora_rank', 'parscale_n_tokens'])]: pick([1, 4, 7]) })
    case 8:
      return tensor('missing', name, undefined)
    case 9: {
      const axis = random.below(shape.length)
      const grown = shape.map((size, i) => (i === axis ? size + 1 : size))
      return tensor('another size', name, { shape: grown, values: new Float32Array(grown.reduce((a, b) => a * b, 1)).fill(0.1) })
    }
    case 10: {
      const spoiled = values.slice()
      spoiled[random.below(values.length)] = pick([NaN, Infinity, -Infinity])
      return tensor('not finite', name, { shape, values: spoiled })
    }
    case 11:
      return tensor('flat', name, { shape: [values.length, 1, 1, 1], values })
    case 12: {
      const to = `${name.replace(/\.(lora_A|lora_B|stream_\w+|prefix_\w+|weight|bias|logits)$/, '')}.${pick(['lora_C', 'stream_shift', 'stream_bias2'])}`
      const renamed = new Map([...tensors].map(([each, value]) => [each === name ? to : each, value] as const))
      return { what: `${name} called ${to}`, json, tensors: renamed, wrong: [name, to] }
    }
    default: {
      const to = `model.layers.0.self_attn.q_proj.${pick(['lora_A', 'lora_B', 'stream_bias', 'stream_output_scale', 'stream_other'])}`
      if (tensors.has(to)) return keyed('nothing', {})
      return tensor('superfluous', to, { shape: [2, 1, 4], values: new Float32Array(8) })
    }
  }
}
