import { expect, it } from 'vitest'
import { checkpointError } from '../errors.ts'
import { bytesSource } from './byte-source.ts'
import { parseSafetensorsIndex, parseShards } from './safetensors-index.ts'
import { safetensorsBytes } from './testing/bytes.ts'

const index = (weightMap: unknown) => parseSafetensorsIndex(JSON.stringify({ weight_map: weightMap }), 'index.json')
const F32 = (begin: number) => ({ dtype: 'F32', shape: [1], data_offsets: [begin, begin + 4] })
const files: Record<string, Uint8Array> = {
  '1.safetensors': safetensorsBytes({ a: F32(0), unlisted: F32(4) }, 8),
  '2.safetensors': safetensorsBytes({ b: F32(0) }, 4),
}
const opened: string[] = []
const openShard = async (shard: string) => {
  opened.push(shard)
  if (!files[shard]) throw checkpointError(`${shard}: cannot be opened`)
  return bytesSource(files[shard], shard)
}

it('takes each tensor from its shard, and opens a shard once', async () => {
  opened.length = 0
  const tensors = await parseShards(index({ b: '2.safetensors', a: '1.safetensors' }), openShard)
  expect(tensors.map((tensor) => [tensor.name, tensor.source.name])).toEqual([
    ['b', '2.safetensors'],
    ['a', '1.safetensors'],
  ])
  expect(opened).toEqual(['2.safetensors', '1.safetensors'])
})

it('names a shard that is missing', async () => {
  await expect(parseShards(index({ a: '3.safetensors' }), openShard)).rejects.toThrow('3.safetensors: cannot be opened')
})

it('names a tensor that is not where the index puts it', async () => {
  await expect(parseShards(index({ a: '2.safetensors' }), openShard)).rejects.toThrow(
    /tensor a into 2\.safetensors, but it is not there/,
  )
})

it.each([
  '../secret.safetensors',
  '/etc/secret.safetensors',
  'sub/1.safetensors',
  '..\\1.safetensors',
  'C:1.safetensors',
  'a\0.safetensors',
  '..',
  '',
  'pytorch_model.bin',
  7,
  null,
])('refuses the shard %j', (shard) => {
  expect(() => index({ a: shard })).toThrow(/tensor a should lie in a \.safetensors file beside the index/)
})

it.each(['[]', '{}', '{"weight_map":[]}', '{"weight_map":null}'])('refuses an index that is %s', (text) => {
  expect(() => parseSafetensorsIndex(text, 'index.json')).toThrow('index.json: weight_map should map tensor names to file names')
})

it('refuses an index that is no JSON, and one that names a tensor twice', () => {
  expect(() => parseSafetensorsIndex('{', 'index.json')).toThrow(/index\.json is not valid JSON/)
  const twice = '{"weight_map":{"a":"1.safetensors","a":"2.safetensors"}}'
  expect(() => parseSafetensorsIndex(twice, 'index.json')).toThrow(/index\.json names "a" twice/)
})
