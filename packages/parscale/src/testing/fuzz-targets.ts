/** The parsers of the command line and of the hub's answers. */
import { utf8 } from '../../../core/src/checkpoint/testing/bytes.ts'
import { type FuzzTarget, fuzz } from '../../../core/src/testing/fuzz/fuzz.ts'
import { grammarTargets } from '../../../core/src/testing/fuzz/grammars.ts'
import { textTargets } from '../../../core/src/testing/fuzz/texts.ts'
import { holds, jsonOf, textOf, weightTargets } from '../../../core/src/testing/fuzz/weights.ts'
import { applySettings, parseSetting } from '../commands/settings.ts'
import { parseListing } from '../hub/listing.ts'
import { isSafeFileName } from '../hub/names.ts'

export { fuzz }

const sha256 = 'ab'.repeat(32)
const listing = {
  id: 'ORG/NAME',
  sha: 'c0ffee'.padEnd(40, '0'),
  siblings: [
    { rfilename: 'config.json', size: 12, blobId: 'cd'.repeat(20) },
    { rfilename: 'sub/model.safetensors', size: 99, blobId: '0'.repeat(40), lfs: { sha256, size: 99, pointerSize: 135 } },
    { rfilename: 'README.md' },
  ],
}
const runConfig = { seed: 0, model: { hiddenSize: 8 }, stages: [{ learningRate: 1e-3, data: null }] }

export const fuzzTargets = async (): Promise<FuzzTarget[]> => [
  ...(await weightTargets()),
  ...(await textTargets()),
  ...grammarTargets,
  {
    name: 'listing of the hub',
    seeds: [jsonOf(listing)],
    parse: (bytes) => {
      for (const { path, metadata } of parseListing(textOf(bytes), 'fuzz').files) {
        holds(isSafeFileName(path), 'files lie in the cache')
        holds(metadata === undefined || /^([0-9a-f]{40}|[0-9a-f]{64})$/.test(metadata.hash.hex), 'blobs have names of hashes')
      }
    },
    kinds: ['hub'],
    growth: 200,
  },
  {
    name: 'settings',
    seeds: ['seed=3', 'stages.0.learningRate=1e-3', 'model.hiddenSize=[1,{"a":2}]', 'stages.0.data=x'].map(utf8),
    parse: (bytes) => {
      const changed = applySettings(runConfig, [parseSetting(textOf(bytes))])
      holds(Object.keys(changed).join() === Object.keys(runConfig).join(), 'a setting adds no key')
      holds(
        Object.getPrototypeOf(changed) === Object.prototype && Object.keys(Object.prototype).length === 0,
        'no prototype changes',
      )
    },
    kinds: ['usage'],
    growth: 500,
  },
]
