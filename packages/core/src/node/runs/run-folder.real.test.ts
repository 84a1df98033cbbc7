/** What a run's folder says to TensorBoard, asked of TensorBoard's own reader. */
import { execFileSync } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { pythonEnvironment } from '../../../../../scripts/python-env.mjs'
import { RunFolder } from './run-folder.ts'
import { checkpointAt } from './testing/training-checkpoints.ts'

const reader = `
import json, sys
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
events = EventAccumulator(sys.argv[1])
events.Reload()
print(json.dumps({tag: [[event.step, event.value] for event in events.Scalars(tag)] for tag in events.Tags()['scalars']}))`

it('TensorBoard reads the figures of a run, each step once though the run was resumed', async () => {
  const python = pythonEnvironment('tensorboard')
  const path = await mkdtemp(join(tmpdir(), 'parscale-run-'))
  try {
    const first = await RunFolder.create(path, {})
    await first.log({ step: 0, kind: 'evaluation', loss: 5.5, streamLoss: [5.75, 6] })
    await first.log({ step: 1, kind: 'train', loss: 4.25, recipe: 'pretrain' })
    await first.saveCheckpoint(checkpointAt(1))
    await first.log({ step: 2, kind: 'train', loss: 99 }) // lost with the process, and computed again
    await first.close()
    const second = await RunFolder.open(path)
    await second.resume((message) => expect.fail(message))
    await second.log({ step: 2, kind: 'train', loss: 3.125 })
    await second.close()
    expect(JSON.parse(execFileSync(python, ['-c', reader, path], { encoding: 'utf8' }))).toEqual({
      'evaluation/loss': [[0, 5.5]],
      'evaluation/streamLoss/0': [[0, 5.75]],
      'evaluation/streamLoss/1': [[0, 6]],
      'train/loss': [
        [1, 4.25],
        [2, 3.125],
      ],
    })
  } finally {
    await rm(path, { recursive: true })
  }
})
