/** `parscale train`: what it refuses, and that nothing is left then. */
import { cpSync, existsSync, writeFileSync } from 'node:fs'
import { beforeAll, describe, expect, it } from 'vitest'
import { runHere } from '../testing/run-here.ts'
import { at, documents, quick, succeed, tiny, tinyPlain, train } from '../testing/train-runs.ts'

describe('refusals, before anything is computed', () => {
  beforeAll(async () => {
    await succeed('pretrain', '--data', at('text.txt'), ...tinyPlain, ...quick, '--p', '1', '--steps', '1', '--out', at('plain'))
    writeFileSync(at('plain', 'model', 'chat_template.jinja'), '{% for m in messages %}{{ m.content }}{% endfor %}')
  })

  const refused: readonly (readonly [what: string, args: () => string[], message: RegExp])[] = [
    ['no data', () => ['pretrain', '--out', at('x')], /name files with --data/],
    ['no recipe', () => ['--out', at('x')], /name a recipe \(pretrain, two-stage, recycle, sft\)/],
    ['another recipe', () => ['finetune', '--data', at('text.txt'), '--out', at('x')], /there is no such recipe/],
    ['no place', () => ['pretrain', '--data', at('text.txt')], /--out/],
    ['no base', () => ['recycle', '--data', at('text.txt'), '--out', at('x')], /name it with --model/],
    ['missing files', () => ['pretrain', '--data', at('nothing.txt'), '--out', at('x')], /nothing\.txt/],
    [
      'a key that is not there',
      () => ['pretrain', '--data', at('text.txt'), '--set', 'streams.q=1', '--out', at('x')],
      /streams\.q.*there are input, prefixTokens/,
    ],
    [
      'a value of the wrong kind',
      () => ['pretrain', '--data', at('text.txt'), '--set', 'batch.tokens=many', '--out', at('x')],
      /batch\.tokens.*"many"/,
    ],
    [
      'longer than the context',
      () => [
        'pretrain',
        '--data',
        at('text.txt'),
        '--separator',
        '\n\n',
        '--vocab-size',
        '300',
        '--sequence-length',
        '2000',
        '--out',
        at('x'),
      ],
      /--sequence-length 2000: the model's context has 1024/,
    ],
    [
      'too little data',
      () => [
        'pretrain',
        '--data',
        at('text.txt'),
        '--separator',
        '\n\n',
        '--vocab-size',
        '300',
        '--held-out',
        '0.9',
        '--sequence-length',
        '1024',
        '--out',
        at('x'),
      ],
      /too few/,
    ],
    ['nothing held out', () => ['pretrain', '--data', at('text.txt'), '--vocab-size', '300', '--out', at('x')], /held out/],
    [
      'a gateless near-identity',
      () => ['pretrain', '--data', at('text.txt'), '--init', 'near-identity', '--out', at('x')],
      /gate/,
    ],
    [
      'more memory than there is',
      () => [
        'pretrain',
        '--data',
        at('text.txt'),
        '--separator',
        '\n\n',
        '--vocab-size',
        '300',
        '--held-out',
        '0.2',
        '--batch-size',
        '60000',
        '--sequence-length',
        '1000',
        '--out',
        at('x'),
      ],
      /[GT]B of memory.*--batch-size/,
    ],
    [
      'sft on texts',
      () => [
        'sft',
        '--model',
        at('plain', 'model'),
        '--data',
        at('text.txt'),
        '--separator',
        '\n\n',
        '--held-out',
        '0.2',
        '--out',
        at('x'),
      ],
      /no conversation in the data/,
    ],
    [
      'biases that would stay equal, before a folder is made',
      () => [
        'recycle',
        '--model',
        at('plain', 'model'),
        '--data',
        at('text.txt'),
        '--separator',
        '\n\n',
        '--held-out',
        '0.2',
        '--sequence-length',
        '32',
        '--streams',
        'bitfit',
        '--init',
        'near-identity',
        '--aggregation',
        'average',
        '--out',
        at('x'),
      ],
      /same gradients/,
    ],
    [
      'a shape for a model that has one',
      () => ['recycle', '--model', at('plain', 'model'), '--data', at('text.txt'), '--hidden-size', '8', '--out', at('x')],
      /--hidden-size: the model that --model names has its own/,
    ],
    [
      'a value out of range',
      () => ['pretrain', '--data', at('text.txt'), '--smoothing', '1.2', '--out', at('x')],
      /--smoothing \(streams\.smoothing\)/,
    ],
    [
      'a second stage that there is not',
      () => ['pretrain', '--data', at('text.txt'), '--second-steps', '4', '--out', at('x')],
      /--second-steps/,
    ],
    ['a run that is not there', () => ['--resume', at('nowhere')], /nowhere/],
  ]
  it.each(refused)('%s', async (_, args, message) => {
    const { code, stderr } = await train(...args())
    expect(stderr).toMatch(message)
    expect(code).toBeGreaterThanOrEqual(2)
    expect(existsSync(at('x'))).toBe(false)
  })

  it('what does nothing in the run, unless the configuration file says it for all runs', async () => {
    writeFileSync(at('config.toml'), "[train]\nown-window = 8\nset = ['aids.balance=0.1']\n")
    const plain = ['pretrain', '--data', at('text.txt'), ...tinyPlain, '--p', '1', '--dry-run']
    const dry = (...more: string[]) =>
      runHere(['train', ...plain, ...more], { PARSCALE_CACHE: at('cache'), PARSCALE_CONFIG: at('config.toml') })
    const { code, stdout, stderr } = await dry()
    expect(code, stderr).toBe(0)
    expect(JSON.parse(stdout)).toMatchObject({ streams: { ownWindow: 8 }, aids: { balance: 0 } })
    for (const flag of [
      ['--own-window', '4'],
      ['--set', 'streams.ownWindow=4'],
    ]) {
      const given = await dry(...flag)
      expect([given.code, given.stderr]).toEqual([2, expect.stringMatching(/--own-window \(streams\.ownWindow\): .* but p is 1/)])
    }
  })

  it('a configuration on resume', async () => {
    const { code, stderr } = await train('--resume', at('plain'), '--p', '4')
    expect(stderr).toMatch(/leave out --p/)
    expect(code).toBe(2)
  })

  it('a frozen model that changed since the run was saved', async () => {
    const fresh = (seed: string) => [
      'pretrain',
      '--data',
      at('text.txt'),
      ...tinyPlain,
      ...quick,
      '--p',
      '1',
      '--steps',
      '1',
      '--seed',
      seed,
      '--out',
      at(`base-${seed}`),
    ]
    for (const seed of ['1', '2']) await succeed(...fresh(seed))
    const data = [
      '--data',
      at('text.txt'),
      '--separator',
      '\n\n',
      '--held-out',
      '0.2',
      '--batch-size',
      '2',
      '--sequence-length',
      '32',
    ]
    const options = ['--prefix-tokens', '2', '--threads', '1', '--steps', '1', '--set', 'sample.tokens=0', ...quick]
    await succeed('recycle', '--model', at('base-1', 'model'), ...data, ...options, '--out', at('on-base'))
    cpSync(at('base-2', 'model'), at('base-1', 'model'), { recursive: true })
    const { code, stderr } = await train('--resume', at('on-base'), '--threads', '1')
    expect(stderr).toMatch(/on-base: the frozen model has changed since the run was saved \(backboneSha256 was/)
    expect(code).toBe(2)
  })

  it('data that changed since the run was saved', async () => {
    writeFileSync(at('changing.txt'), documents.join('\n\n'))
    await succeed('pretrain', '--data', at('changing.txt'), ...tiny, ...quick, '--steps', '2', '--out', at('changed'))
    writeFileSync(at('changing.txt'), [...documents, 'One more chapter, and another one of whales.'].join('\n\n'))
    const { code, stderr } = await train('--resume', at('changed'))
    expect(stderr).toMatch(/the data have changed/)
    expect(code).toBe(2)
  })
})
