/** Writes a run with a checkpoint every step, for tests that kill it. Arguments: folder, "create" or "open", last step. */
import process from 'node:process'
import { RunFolder } from '../run-folder.ts'
import { checkpointAt } from './training-checkpoints.ts'

const [path, mode, lastStep] = process.argv.slice(2)
const run = mode === 'create' ? await RunFolder.create(path!, { seed: 1 }) : await RunFolder.open(path!)
const found = await run.resume(() => {})
process.stdout.write('ready\n')
for (let step = (found?.step ?? 0) + 1; step <= Number(lastStep); step++) {
  await run.log({ step, kind: 'train', loss: 1 / step })
  await run.saveCheckpoint(checkpointAt(step, Math.cos(step)))
}
await run.close()
