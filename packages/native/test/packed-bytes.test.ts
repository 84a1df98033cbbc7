/** Packed files of the module beside those that JavaScript makes of the same plan, with core's rounding: byte by byte. */
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createRandom } from '@parscale/core/internal'
import { arrayStream, castStream, type QuantiseSettings, type StoredDType } from '@parscale/core/internal/checkpoint'
import { modelFiles } from '@parscale/core/internal/generation'
import { backboneParameters, elementCount } from '@parscale/core/internal/model'
import { openModelFolder, quantiseModel, writeModelFolder } from '@parscale/core/internal/node'
import { openStreamed, quantisedFolder } from '@parscale/core/internal/node/models'
import { type PackPlan, planAggregator, planBackbone, tensorBytes } from '@parscale/core/internal/packed'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { fixturesFolder } from '../../core/src/testing/fixtures.ts'
import { writePacked } from '../src/pack.ts'
import { floatTypes, quantisedTypes, writeModel } from './support/gguf-models.ts'
import { packInJavaScript } from './support/pack-in-javascript.ts'

let scratch: string
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'parscale-packed-bytes-'))
})
afterAll(() => rm(scratch, { recursive: true }))

const settings: QuantiseSettings[] = ([8, 4] as const).flatMap((bits) =>
  [16, 32, 64, 128].map((blockSize) => ({ bits, blockSize })),
)

async function expectSameBytes(plan: PackPlan): Promise<void> {
  const at = await mkdtemp(join(scratch, 'pack-'))
  await packInJavaScript(join(at, 'expected'), plan)
  const expected = await readFile(join(at, 'expected'))
  for (const threads of [1, 3]) {
    const path = join(at, `${threads}`)
    await writePacked(path, plan, threads)
    const ours = await readFile(path)
    const firstDifference = plan.tensors.find(({ layout }, i) => {
      const [from, to] = [plan.offsets[i]!, plan.offsets[i]! + tensorBytes(layout)]
      return !ours.subarray(from, to).equals(expected.subarray(from, to))
    })
    expect(firstDifference?.layout).toBeUndefined()
    expect(ours.equals(expected)).toBe(true)
  }
  await rm(at, { recursive: true })
}

/** The backbone's plan, and those of its own streams. */
async function expectSameModel(path: string, wanted: QuantiseSettings | undefined): Promise<void> {
  const { backbone, streamSets } = await openStreamed(path, wanted)
  try {
    const files = await modelFiles(backbone, streamSets)
    await expectSameBytes(planBackbone(files.config, files.findWeight, files.tied))
    for (const { config, findWeight } of files.streamSets)
      if (config.parscale.n > 1 && config.parscale.aggregation !== 'average')
        await expectSameBytes(planAggregator(config, findWeight))
  } finally {
    for (const one of [backbone, ...streamSets]) await one.close()
  }
}

/** Weights as they are stored. */
async function expectSameFolder(path: string): Promise<void> {
  const folder = await openModelFolder(path)
  const files = await modelFiles(folder)
  expect(files.weights).toMatch(/bits/)
  await expectSameBytes(planBackbone(files.config, files.findWeight, files.tied))
  await folder.close()
}

/** Floats of every size that a type has, blocks of zeros, of one number, of negative zeros, and of one large number among small ones. */
function wildFloats(count: number, dtype: StoredDType, seed: number): Float32Array {
  const random = createRandom(seed)
  const [least, most] = dtype === 'F16' ? [-24, 15] : [-149, 127]
  const values = new Float32Array(count)
  let [kind, exponent] = [0, 0]
  for (let i = 0; i < count; i++) {
    if (i % 16 === 0) {
      kind = Math.floor(random.uniform() * 8)
      exponent = least + Math.floor(random.uniform() * (most - least))
    }
    const x = (1 + random.uniform()) * (random.uniform() < 0.5 ? -1 : 1)
    if (kind === 0) values[i] = random.uniform() < 0.5 ? 0 : -0
    else if (kind === 1) values[i] = 2 ** exponent
    else if (kind === 2) values[i] = x * 2 ** (least + Math.floor(random.uniform() * (most - least)))
    else if (kind === 3) values[i] = i % 16 === 5 ? x * 2 ** exponent : x * 2 ** Math.max(least, exponent - 6)
    else values[i] = (random.uniform() - 0.5) * 2 ** Math.max(least, exponent)
  }
  return values
}

describe.each<StoredDType>(['F32', 'F16', 'BF16'])('a folder of %s', (dtype) => {
  const folder = () => join(scratch, dtype)
  beforeAll(async () => {
    const source = await openModelFolder(`${fixturesFolder}transformers/qwen3-streams-p2`)
    const config = { ...source.configJson, hidden_size: 160, intermediate_size: 272, vocab_size: 101 }
    await source.close()
    const parsed = { ...source.config, hiddenSize: 160, intermediateSize: 272, vocabSize: 101 }
    let seed = 0
    const tensors = backboneParameters({ ...parsed }, true).map(({ name, shape }) =>
      castStream(arrayStream(name, shape, wildFloats(elementCount(shape), dtype, ++seed)), dtype),
    )
    const plain = { ...config, parscale_n: 1, tie_word_embeddings: true }
    await writeModelFolder(folder(), { files: new Map([['config.json', Buffer.from(JSON.stringify(plain))]]), tensors })
  })

  it.each(settings)('in $bits bits and blocks of $blockSize', async (wanted) => {
    await expectSameModel(folder(), wanted)
  })

  it('as it is', async () => {
    await expectSameModel(folder(), undefined)
  })

  it.each(settings)('once it is stored in $bits bits and blocks of $blockSize', async ({ bits, blockSize }) => {
    const path = await mkdtemp(join(scratch, 'stored-'))
    await quantiseModel(folder(), join(path, 'integers'), { bits, blockSize })
    await expectSameFolder(join(path, 'integers'))
  })
})

it.each(quantisedTypes)('a folder of the integers of %s, with the zero points that they have', async (type) => {
  const path = await mkdtemp(join(scratch, 'stored-'))
  await writeModel(join(path, 'model.gguf'), { output: 'Q8_0', embedding: 'Q6_K', others: [type] })
  await expectSameFolder(await quantisedFolder(join(path, 'model.gguf'), 'stored', { cacheDirectory: path }))
})

describe.each(['transformers/qwen3-streams-p2', 'goldens/parscale-p4'])('%s with its streams', (name) => {
  it.each([undefined, ...settings])('%o', async (wanted) => {
    await expectSameModel(`${fixturesFolder}${name}`, wanted)
  })
})

describe.each([...quantisedTypes, ...floatTypes])('a GGUF file of %s', (type) => {
  // Carried integers with minima keep those of the file here; JavaScript goes by way of zero points. So embeddings, which are carried at 8 bits, have none.
  const isCarried = (bits: number) => ['Q4_0', 'Q4_1', 'Q4_K'].includes(type) || (bits === 8 && quantisedTypes.includes(type))
  const wanted = [undefined, ...settings].filter((one) => !one || !isCarried(one.bits))
  it.each(wanted)('%o', async (one) => {
    const path = join(scratch, `${type}.gguf`)
    await writeModel(path, { output: 'Q8_0', embedding: 'Q6_K', others: [type] })
    await expectSameModel(path, one)
  })
})
