/** Weights stay in their files: whatever their type, however far into the file, through links as in the hub's cache. */
import {
  closeSync,
  copyFileSync,
  ftruncateSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { convertModel } from '../node/index.ts'
import { fixturesFolder, loadEngine, maxDifference, readFixture } from '../testing/fixtures.ts'

const golden = `${fixturesFolder}goldens/parscale-p4`
let folder: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'parscale-weights-'))
})
afterAll(() => rmSync(folder, { recursive: true }))

async function logits(path: string): Promise<Float32Array> {
  const { expected } = await readFixture('goldens/parscale-p4')
  const engine = await loadEngine(path)
  const sequence = engine.open()
  const [out] = await engine.step([{ sequence, ids: expected.input_ids, want: 'all' }])
  const copy = out!.logits.slice()
  await engine.model.dispose()
  return copy
}

it.each(['F16', 'BF16'] as const)('computes from %s weights what it computes from the same values in F32', async (dtype) => {
  const [narrow, wide] = [join(folder, dtype), join(folder, `${dtype}-widened`)]
  await convertModel(golden, narrow, { dtype })
  await convertModel(narrow, wide, { dtype: 'F32' })
  expect(maxDifference(await logits(narrow), await logits(wide))).toBe(0)
  expect(maxDifference(await logits(narrow), await logits(golden))).toBeGreaterThan(0)
})

it('reads a sharded checkpoint as the single file', async () => {
  const sharded = join(folder, 'sharded')
  await convertModel(golden, sharded, { maxShardBytes: 100_000 })
  expect(() => readFileSync(join(sharded, 'model.safetensors.index.json'))).not.toThrow()
  expect(maxDifference(await logits(sharded), await logits(golden))).toBe(0)
})

it('reads weights that lie beyond 4 GiB in their file', async () => {
  const far = join(folder, 'far')
  mkdirSync(far)
  copyFileSync(join(golden, 'config.json'), join(far, 'config.json'))
  // The golden file behind a tensor of zeros that no model needs; the file is sparse, so it takes no room.
  const bytes = readFileSync(join(golden, 'model.safetensors'))
  const headerLength = Number(bytes.readBigUInt64LE(0))
  const header = JSON.parse(bytes.subarray(8, 8 + headerLength).toString()) as Record<string, { data_offsets?: [number, number] }>
  const gap = 5 * 2 ** 30
  for (const { data_offsets: at } of Object.values(header)) if (at) at.splice(0, 2, at[0] + gap, at[1] + gap)
  const zeros = { dtype: 'F32', shape: [gap / 4], data_offsets: [0, gap] }
  const text = Buffer.from(JSON.stringify({ 'model.layers.0.self_attn.rotary_emb.inv_freq': zeros, ...header }))
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(text.length))
  const file = openSync(join(far, 'model.safetensors'), 'w')
  writeSync(file, Buffer.concat([length, text]))
  ftruncateSync(file, 8 + text.length + gap)
  const data = bytes.subarray(8 + headerLength)
  writeSync(file, data, 0, data.length, 8 + text.length + gap)
  closeSync(file)
  expect(maxDifference(await logits(far), await logits(golden))).toBe(0)
})

it('follows the links of the hub cache', async () => {
  const [blobs, snapshot] = [join(folder, 'cache', 'blobs'), join(folder, 'cache', 'snapshots', 'abc')]
  mkdirSync(blobs, { recursive: true })
  mkdirSync(snapshot, { recursive: true })
  for (const name of ['config.json', 'model.safetensors']) {
    copyFileSync(join(golden, name), join(blobs, `blob-${name}`))
    symlinkSync(join('..', '..', 'blobs', `blob-${name}`), join(snapshot, name))
  }
  expect(maxDifference(await logits(snapshot), await logits(golden))).toBe(0)
})
