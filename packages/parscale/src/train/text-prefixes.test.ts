/** Runs whose prefixes begin as text. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { readCheckpoint } from '@parscale/core/internal/node'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { maxDifference } from '../../../core/src/testing/fixtures.ts'
import { runHere } from '../testing/run-here.ts'

let scratch: string
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'parscale-'))
})
afterAll(() => rm(scratch, { recursive: true }))

describe('train --init text', () => {
  const train = (...args: string[]) =>
    runHere(['train', 'two-stage', '--data', join(scratch, 'text.txt'), ...tiny, ...args], {
      PARSCALE_CACHE: join(scratch, 'cache'),
    })
  const tiny = [
    ...[
      '--hidden-size',
      '16',
      '--intermediate-size',
      '24',
      '--layers',
      '2',
      '--heads',
      '2',
      '--kv-heads',
      '1',
      '--head-dim',
      '8',
    ],
    ...['--vocab-size', '300', '--batch-size', '2', '--sequence-length', '32', '--held-out', '0.2', '--separator', '\n\n'],
    ...['--threads', '1', '--set', 'sample.tokens=0', '--set', 'evaluation.diagnoseTokens=0', '--evaluate-every', '0'],
    ...['--steps', '2', '--second-steps', '1', '--p', '2', '--init', 'text'],
  ]

  it('begins the second stage with what the first has trained, the same in every run', async () => {
    const documents = Array.from({ length: 40 }, (_, i) => `Chapter ${i}. They spoke of ${i * i} whales and ${61 * i} treaties.`)
    await writeFile(join(scratch, 'text.txt'), documents.join('\n\n'))
    for (const run of ['one', 'two']) {
      const { code, stderr } = await train('--prefix-tokens', '5', '--out', join(scratch, run))
      expect(code, stderr).toBe(0)
    }
    const read = (run: string) => readFile(join(scratch, run, 'model', 'model.safetensors'))
    expect((await read('one')).equals(await read('two'))).toBe(true)
    const { parameters } = await readCheckpoint(join(scratch, 'one', 'checkpoints', 'step-00000003'))
    const values = parameters.get('model.layers.1.self_attn.prefix_v')!
    expect(values.every(Number.isFinite)).toBe(true)
    const half = values.length / 2
    expect(maxDifference(values.subarray(0, half), values.subarray(half))).toBeGreaterThan(1e-3)
  })

  it.each([
    [['--streams', 'lora'], /only prefixes that are trained themselves can begin as text, but input is lora/],
    [['--prefix-mlp', '8'], /a network of width 8 makes them \(--prefix-mlp\)/],
  ])('is refused with %j', async (args, message) => {
    const { code, stderr } = await train(...args, '--out', join(scratch, 'refused'))
    expect([code, stderr]).toEqual([2, expect.stringMatching(message)])
  })
})
