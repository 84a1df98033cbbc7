/** `parscale train --resume`: a run that is stopped and goes on gives the bits of one that was not. */
import { describe, expect, it } from 'vitest'
import { runHere } from '../testing/run-here.ts'
import { at, checkpointTensors, metrics, model, quick, succeed, tiny, tinyPlain } from '../testing/train-runs.ts'

describe('a run that is stopped and goes on', () => {
  const withoutClock = (run: string) => metrics(run).map((line) => ({ ...line, seconds: 0, time: '' }))

  /** The same run twice: once through, and stopped when `step N/` is shown. */
  async function stoppedAndWhole(name: string, stopAfter: number, args: readonly string[], model = tiny) {
    const recorded = [...args, ...model, '--checkpoint-every', '0', '--log-every', '1']
    await succeed(...recorded, '--out', at(`${name}-whole`))
    const interrupt = new AbortController()
    const stopped = await runHere(
      ['train', ...recorded, '--out', at(name)],
      { PARSCALE_CACHE: at('cache') },
      {
        signal: interrupt.signal,
        onStderr: (text) => text.startsWith(`step ${stopAfter}/`) && interrupt.abort(),
      },
    )
    expect(stopped.code).toBe(130)
    expect(stopped.stderr).toContain(`stopped after step ${stopAfter} of`)
    const resumed = await succeed('--resume', at(name), '--threads', '1')
    expect(resumed.stderr).toContain(`going on after step ${stopAfter}`)
    expect(withoutClock(name)).toEqual(withoutClock(`${name}-whole`))
  }

  it('gives the same bits: two stages, micro-batches, spikes skipped, across the border', async () => {
    const args = [
      'two-stage',
      '--data',
      at('text.txt'),
      '--steps',
      '3',
      '--second-steps',
      '3',
      '--micro-batches',
      '2',
      '--skip-spikes',
      '3',
      '--p',
      '2',
      '--evaluate-every',
      '2',
    ]
    for (const step of [2, 3, 4]) {
      await stoppedAndWhole(`two-${step}`, step, args)
      expect(model(`two-${step}`)).toEqual(model(`two-${step}-whole`))
    }
  })

  it('gives the same bits: a frozen backbone, prefixes made by a network', async () => {
    await succeed(
      'pretrain',
      '--data',
      at('text.txt'),
      ...tinyPlain,
      ...quick,
      '--p',
      '1',
      '--steps',
      '4',
      '--out',
      at('to-recycle'),
    )
    const shapeless = tiny.slice(tiny.indexOf('--batch-size'))
    const recorded = [
      'recycle',
      '--model',
      at('to-recycle', 'model'),
      '--data',
      at('text.txt'),
      '--p',
      '2',
      '--steps',
      '4',
      '--prefix-mlp',
      '8',
      '--log-every',
      '1',
      ...shapeless,
    ]
    await succeed(...recorded, '--out', at('mlp-whole'))
    const interrupt = new AbortController()
    const onStderr = (text: string) => text.startsWith('step 2/') && interrupt.abort()
    const stopped = await runHere(
      ['train', ...recorded, '--out', at('mlp')],
      { PARSCALE_CACHE: at('cache') },
      { signal: interrupt.signal, onStderr },
    )
    expect(stopped.code).toBe(130)
    await succeed('--resume', at('mlp'), '--threads', '1')
    expect(model('mlp', 'streams')).toEqual(model('mlp-whole', 'streams'))
  })

  it.each([
    ['prefix', 'hidden', 'dynamic', ['--dropout', '0.1', '--drop-streams', '0.3', '--balance', '0.1']],
    ['scales', 'hidden', 'dynamic', ['--nest-streams', '0.5', '--balance', '0.1']],
    ['scales,norms,embedding', 'probabilities', 'dynamic', ['--dropout', '0.1', '--final-smoothing', '0', '--own-loss', '0.3']],
    ['lora,bitfit', 'probabilities', 'static', ['--drop-streams', '0.5', '--decorrelate', '0.1', '--final-smoothing', '0.4']],
  ])('gives the same bits, and so on other threads: %s, %s, %s with aids', async (kinds, merge, aggregation, aids) => {
    const name = `aids-${kinds.split(',').join('-')}`
    const args = [
      ...['pretrain', '--data', at('text.txt'), '--p', '3', '--steps', '4', '--micro-batches', '2', '--evaluate-every', '0'],
      ...['--streams', kinds, '--merge', merge, '--aggregation', aggregation],
      ...(kinds.includes('lora') ? ['--stream-rank', '2'] : []),
      ...aids,
    ]
    const small = kinds.includes('prefix') ? tiny : tinyPlain
    await stoppedAndWhole(name, 2, args, small)
    expect(model(name)).toEqual(model(`${name}-whole`))
    const threads = small.map((value, i) => (small[i - 1] === '--threads' ? '2' : value))
    await succeed(...args, ...threads, '--checkpoint-every', '0', '--out', at(`${name}-threads`))
    expect(model(`${name}-threads`)).toEqual(model(`${name}-whole`))
    // Without the aids it is another run.
    await succeed(...args.slice(0, -aids.length), ...small, '--checkpoint-every', '0', '--out', at(`${name}-without`))
    expect(model(`${name}-without`)).not.toEqual(model(`${name}-whole`))
  })

  it('writes a checkpoint when it is asked to, and goes on', async () => {
    const onStderr = (text: string) => text.startsWith('step 2/') && process.emit('SIGUSR2')
    const args = [
      'train',
      'pretrain',
      '--data',
      at('text.txt'),
      ...tiny,
      ...quick,
      '--log-every',
      '1',
      '--steps',
      '4',
      '--out',
      at('asked'),
    ]
    const { code, stderr } = await runHere(args, { PARSCALE_CACHE: at('cache') }, { onStderr })
    expect(code).toBe(0)
    expect(stderr).toContain('step 2: checkpoint written, as asked')
    expect((await checkpointTensors('asked', 2)).size).toBeGreaterThan(0)
  })
})
