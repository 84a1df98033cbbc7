import { expect, it } from 'vitest'
import { parseRunConfig } from './parse-run-config.ts'
import { recipes } from './recipes.ts'
import { requireShareable, sumsInTree } from './trainer.ts'

const config = recipes.pretrain({ data: ['a.txt'] })
const batch = (sequences: number, microBatches: number, gradientSum: 'tree' | 'sequence' = 'tree') => ({
  batch: { sequences, tokens: 16, microBatches, gradientSum },
})

it('runs of earlier versions add one pass after the other, new ones in a tree', () => {
  const { gradientSum: _, ...before } = config.batch
  expect(parseRunConfig({ ...config, batch: before }).batch.gradientSum).toBe('sequence')
  expect(parseRunConfig(config).batch.gradientSum).toBe('tree')
  expect(sumsInTree(batch(1, 4), { device: 'cpu' })).toBe(true)
  // Of one pass there is nothing to sum; on a device nobody promises bits.
  expect(sumsInTree(batch(4, 1), { device: 'cpu' })).toBe(false)
  expect(sumsInTree(batch(1, 4), { device: 'webgpu' })).toBe(false)
  expect(sumsInTree(batch(1, 4, 'sequence'), { device: 'cpu' })).toBe(false)
})

it('says what to change where workers cannot share a run', () => {
  const refused = (...[of, device, workers]: [ReturnType<typeof batch>, 'cpu' | 'webgpu', number]) =>
    expect(() => requireShareable(of, { device }, workers))
  refused(batch(8, 1), 'cpu', 4).toThrow(
    '4 workers share the passes of a step, but there is 1 (--micro-batches); give --micro-batches 4 and --batch-size 2, which makes the same batch, or start fewer workers',
  )
  refused(batch(1, 3), 'cpu', 4).toThrow('but there are 3 (--micro-batches); raise --micro-batches to 4 at least, or start')
  refused(batch(1, 8), 'webgpu', 2).toThrow('2 workers: they train on CPUs, not on webgpu')
  refused(batch(1, 8, 'sequence'), 'cpu', 2).toThrow('adds gradients one pass after the other')
  refused(batch(8, 1, 'sequence'), 'webgpu', 1).not.toThrow()
  refused(batch(1, 8), 'cpu', 8).not.toThrow()
})
