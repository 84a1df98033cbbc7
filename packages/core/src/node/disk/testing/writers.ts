/** Everything that writes files and folders for good, in small, for tests that kill it. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { byteTokenizerFiles } from '../../../tokenizer/index.ts'
import { openDataset } from '../../documents/token-cache.ts'
import { cachedModelFolder } from '../../models/model-cache.ts'
import { CheckpointStore } from '../../runs/checkpoint-store.ts'
import { checkpointAt } from '../../runs/testing/training-checkpoints.ts'
import { writeWholeFile } from '../whole-file.ts'
import { writeWholeFolder } from '../whole-folder.ts'

const size = 1 << 18
const fill = async (folder: string) => {
  for (const name of ['a', 'b']) writeFileSync(join(folder, name), new Uint8Array(size))
}

/** By what is written: into a folder, once. Rounds differ in content where content decides the name. */
export const writers: Readonly<Record<string, (folder: string, round: number) => Promise<unknown>>> = {
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
    const wanted = { kind: 'made', label: 'model', source: 'model', identity: ['model'], state: [round], make }
    return cachedModelFolder(wanted, { cacheDirectory: folder })
  },
  checkpoints: async (folder, round) => {
    const store = new CheckpointStore(join(folder, 'checkpoints'), 2)
    await store.removeLeftovers()
    await store.save(checkpointAt(round + 1))
  },
}
