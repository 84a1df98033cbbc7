/** Saves checkpoints and keeps them all until one fails; prints what happened as JSON. Argument: the run's folder. */
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import process from 'node:process'
import { RunFolder } from '../run-folder.ts'
import { checkpointAt } from './training-checkpoints.ts'

const run = await RunFolder.create(process.argv[2]!, {}, { keepCheckpoints: 1e6 })
let saved = 0
let stopped: unknown
while (stopped === undefined) {
  await run.saveCheckpoint(checkpointAt(saved + 1)).then(
    () => saved++,
    (error) => {
      stopped = { kind: error.kind, message: error.message }
    },
  )
}
const names = (await readdir(join(run.path, 'checkpoints'))).sort()
const latest = await run.checkpoints.latest((message) => process.stderr.write(message))
await run.close()
process.stdout.write(JSON.stringify({ saved, stopped, names, latest: latest?.step }))
