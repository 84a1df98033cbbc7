/** Writes the same thing again and again, for tests that kill it. Arguments: what, folder, how many times. Says when it begins. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import process from 'node:process'
import { writeWholeFile } from '../../src/node/disk/whole-file.ts'
import { writeWholeFolder } from '../../src/node/disk/whole-folder.ts'
import { openDataset } from '../../src/node/documents/token-cache.ts'
import { cachedModelFolder } from '../../src/node/models/model-cache.ts'
import { CheckpointStore } from '../../src/node/runs/checkpoint-store.ts'
import { byteTokenizerFiles } from '../../src/tokenizer/index.ts'
import { checkpointAt } from '../training-checkpoints.ts'

const size = 1 << 18
const fill = async (folder: string) => {
  for (const name of ['a', 'b']) writeFileSync(join(folder, name), new Uint8Array(size))
}

const writers: Readonly<Record<string, (folder: string, round: number) => Promise<unknown>>> = {
  file: (folder) => writeWholeFile(join(folder, 'file'), new Uint8Array(size)),
  folder: (folder) => writeWholeFolder(join(folder, 'folder'), fill, { replace: async () => true }),
  tokens: async (folder, round) => {
    const options = {
      cacheDirectory: folder,
      tokenizerFiles: byteTokenizerFiles(['<s>', '</s>']),
      separator: '\n\n',
      seed: round,
    }
    await (await openDataset([join(folder, 'data.txt')], options)).close()
  },
  cache: (folder, round) => {
    const make = (target: string, options: object) => writeWholeFolder(target, fill, options)
    const wanted = { kind: 'made', label: 'model', identity: ['model'], state: [round], make }
    return cachedModelFolder(wanted, { cacheDirectory: folder })
  },
  checkpoints: async (folder, round) => {
    const store = new CheckpointStore(join(folder, 'checkpoints'), 2)
    await store.removeLeftovers()
    await store.save(checkpointAt(round + 1))
  },
}

const [, , what, folder, times] = process.argv as [string, string, string, string, string]
const first = (Date.now() % 1e6) * 1000
process.stdout.write('begun\n')
for (let round = 0; round < Number(times); round++) await writers[what]!(folder, first + round)
