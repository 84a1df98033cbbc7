/** A model that is made while it is read, beside the folder that would be written of it: the same tensors, to the byte. */
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { WeightSettings } from '../../checkpoint/quantise-model.ts'
import { readStored } from '../../checkpoint/read-tensor.ts'
import { fixturesFolder } from '../../testing/fixtures.ts'
import { ggufFolder } from './gguf-cache.ts'
import { type ModelFolder, openModelFolder } from './model-folder.ts'
import { quantisedFolder } from './quantised-cache.ts'
import { openStreamed } from './streamed-model.ts'

const shipped = fileURLToPath(new URL('../../../../parscale/models/small', import.meta.url))

let cacheDirectory: string
beforeAll(async () => {
  cacheDirectory = await mkdtemp(join(tmpdir(), 'parscale-streamed-'))
})
afterAll(() => rm(cacheDirectory, { recursive: true }))

async function bytesOf({ tensors, otherTensors }: ModelFolder): Promise<Record<string, string>> {
  const found: Record<string, string> = {}
  // Parts of a matrix in turns, as who packs them reads them.
  const all = [...tensors.values(), ...otherTensors.values()].sort((a, b) => (a.name < b.name ? -1 : 1))
  for (const tensor of all)
    found[tensor.name] = `${tensor.dtype} ${tensor.shape} ${Buffer.from(await readStored(tensor)).toString('base64')}`
  return found
}

async function expectSame(made: ModelFolder, written: ModelFolder): Promise<void> {
  const [left, right] = [await bytesOf(made), await bytesOf(written)]
  expect(Object.keys(left)).toEqual(Object.keys(right))
  for (const [name, bytes] of Object.entries(left)) expect(bytes === right[name], name).toBe(true)
  expect(made.config.tieWordEmbeddings).toBe(written.config.tieWordEmbeddings ?? made.config.tieWordEmbeddings)
  for (const name of ['tokenizer.json', 'tokenizer_config.json', 'nothing.json'])
    expect(await made.readText(name)).toBe(await written.readText(name))
}

const ggufs = (await readdir(`${fixturesFolder}gguf`)).filter((name) => name.endsWith('.gguf') && name !== 'blocks.gguf')
const settings: (WeightSettings | undefined)[] = [undefined, 'stored', { bits: 8 }, { bits: 4 }, { bits: 4, blockSize: 16 }]

describe.each(ggufs)('%s', (name) => {
  it.each(settings.map((one) => [JSON.stringify(one), one] as const))('%s', async (_, wanted) => {
    const path = `${fixturesFolder}gguf/${name}`
    const { backbone } = await openStreamed(path, wanted)
    const folder = wanted ? await quantisedFolder(path, wanted, { cacheDirectory }) : await ggufFolder(path, { cacheDirectory })
    const written = await openModelFolder(folder)
    await expectSame(backbone, written)
    await Promise.all([backbone.close(), written.close()])
  })
})

it.each([8, 4] as const)('the model that ships in %s bits, with its stream sets', async (bits) => {
  const made = await openStreamed(shipped, { bits })
  const folder = await quantisedFolder(shipped, { bits }, { cacheDirectory })
  const written = await openModelFolder(folder)
  await expectSame(made.backbone, written)
  expect(made.streamSets.map(({ config }) => config.parscale.n)).toEqual([2, 4, 8])
  for (const set of made.streamSets) {
    const other = await openModelFolder(join(folder, 'streams', `p${set.config.parscale.n}`))
    await expectSame(set, other)
    await Promise.all([other.close(), set.close()])
  }
  await made.verify(made.streamSets, { cacheDirectory })
  await Promise.all([made.backbone.close(), written.close()])
})

it('refuses stream sets of another backbone', async () => {
  const made = await openStreamed(`${fixturesFolder}gguf/${ggufs[0]}`, 'stored')
  const set = await openModelFolder(join(shipped, 'streams', 'p2'))
  await expect(made.verify([set], { cacheDirectory })).rejects.toThrow(/was trained on another backbone/)
  await Promise.all([made.backbone.close(), set.close()])
})
