/** The engine over graphs against other implementations' numbers: the contract of all engines, and what graphs alone can show. */
import { describe, expect, it } from 'vitest'
import { backboneGraph, RopeTable, writePrefix } from '../model/index.ts'
import { openModelFolder } from '../node/index.ts'
import { onnxRuntime } from '../node/onnx-runtime.ts'
import { loadEngine, maxDifference, readFixture } from '../testing/fixtures.ts'
import { batchFeeds } from './batch.ts'
import { KvCache } from './kv-cache.ts'
import { modelFiles } from './model-files.ts'
import { logitTolerance, referenceContract, referenceFixtures } from './testing/reference-contract.ts'

referenceContract('onnx', loadEngine)

// Native code gives nothing out of its layers.
describe.each([1, 2].flatMap((threads) => referenceFixtures.map((name) => [name, threads] as const)))(
  '%s, onnx, %i thread(s)',
  (name, threads) => {
    it('gives every layer its input', async () => {
      const { folder: path, expected, arrays } = await readFixture(name)
      const folder = await openModelFolder(path)
      const files = await modelFiles(folder)
      const runtime = onnxRuntime({ threads })
      const session = await runtime.createSession(backboneGraph(files.config, files.findWeight, { layerInputs: true }))
      const { config, streamSets } = files
      const p = config.parscale.n
      const prefix = config.parscale.nTokens
      const cache = new KvCache(config, 'f32')
      cache.reserve(p, Math.max(1, prefix))
      for (let stream = 0; p > 1 && stream < p; stream++)
        writePrefix(streamSets[0]!.prefixes, stream, (...prefix) => cache.writeFirst(stream, ...prefix))
      const ids = expected.input_ids
      const rows = Array.from({ length: p }, () => ({ ids, prefix, length: 0, firstPosition: 0 }))
      const feeds = { ...batchFeeds(config, new RopeTable(config), rows, cache.capacity), ...cache.feeds(0, p) }
      const out = await session.run(feeds)
      const H = config.hiddenSize
      const found = Array.from({ length: config.numHiddenLayers }, (_, layer) => {
        const data = out[`layer_input.${layer}`]!.data as Float32Array
        return rows.flatMap((_, row) => [...data.subarray(((row + 1) * ids.length - 1) * H, (row + 1) * ids.length * H)])
      }).flat()
      expect(maxDifference(found, arrays.get('layer_inputs')!.data)).toBeLessThan(logitTolerance)
      await session.dispose()
      await folder.close()
    })
  },
)
