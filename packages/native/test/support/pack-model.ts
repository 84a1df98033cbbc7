/**
 * Packs a model in 4 bits into a cache and prints the folder or the error as JSON, with what is left in the cache then. Arguments: model,
 * cache folder. A line on stdout says that it has begun.
 */
import { readdirSync } from 'node:fs'
import { dirname } from 'node:path'
import process from 'node:process'
import { modelFiles } from '@parscale/core/internal/generation'
import { openStreamed } from '@parscale/core/internal/node/models'
import { packModel } from '../../src/native-decoder.ts'

const [, , model, cacheDirectory] = process.argv as [string, string, string, string]
const { backbone } = await openStreamed(model, { bits: 4 })
const files = await modelFiles(backbone)
process.stdout.write('begun\n')
const result = await packModel(files, { cacheDirectory, threads: 2 }).then(
  (packed) => ({ folder: dirname(packed.backbone) }),
  (error) => ({ kind: error.kind, message: error.message }),
)
const left = readdirSync(cacheDirectory, { recursive: true })
process.stdout.write(JSON.stringify({ ...result, left }))
process.exit()
