/**
 * Quantises into a cache and prints the folder or the error as JSON, with what is left in the cache then. Arguments: model,
 * cache folder. A line on stdout says that it has begun, one on stderr that it waits for another one.
 */
import { readdirSync } from 'node:fs'
import process from 'node:process'
import { quantisedFolder } from '../quantised-cache.ts'

const [, , model, cacheDirectory] = process.argv as [string, string, string, string]
let waited = false
const onWait = () => {
  waited = true
  process.stderr.write('waits\n')
}
process.stdout.write('begun\n')
const result = await quantisedFolder(model, { bits: 4 }, { cacheDirectory, onWait }).then(
  (folder) => ({ folder }),
  (error) => ({ kind: error.kind, message: error.message }),
)
const left = readdirSync(cacheDirectory, { recursive: true })
process.stdout.write(JSON.stringify({ ...result, waited, left }))
