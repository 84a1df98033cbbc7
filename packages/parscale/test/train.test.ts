/** `parscale train`: what a run computes, records and refuses, on real runs of a very small model. */
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { readCheckpoint } from '@parscale/core/node'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { runHere } from './support/run-here.ts'

let scratch: string
const at = (...names: string[]) => join(scratch, ...names)

const topics = ['whales', 'treaties', 'harpoons', 'commerce', 'the sea', 'the union', 'peace', 'storms']
const documents = Array.from(
  { length: 60 },
  (_, i) =>
    `Chapter ${i}. Of ${topics[i % 8]}. ${`They spoke of ${topics[(i * 3) % 8]} and ${topics[(i * 5) % 8]}. `.repeat(3 + (i % 4))}`,
)
const tiny = [
  ...['--hidden-size', '16', '--intermediate-size', '24', '--layers', '2', '--heads', '2', '--kv-heads', '1', '--head-dim', '8'],
  ...['--vocab-size', '300', '--batch-size', '2', '--sequence-length', '32', '--prefix-tokens', '4', '--learning-rate', '1e-2'],
  ...[
    '--held-out',
    '0.2',
    '--separator',
    '\n\n',
    '--threads',
    '1',
    '--set',
    'sample.tokens=4',
    '--set',
    'evaluation.diagnoseTokens=32',
  ],
]
const quick = ['--evaluate-every', '0', '--checkpoint-every', '0']

const here = (...args: string[]) => runHere(args, { PARSCALE_CACHE: at('cache') })
const train = (...args: string[]) => here('train', ...args)

async function succeed(...args: string[]) {
  const result = await train(...args)
  expect(result.code, result.stderr).toBe(0)
  return result
}

interface Line {
  readonly kind: string
  readonly step: number
  readonly p: number
  readonly loss: number
  readonly learningRate: number
  readonly tokens: number
}
const metrics = (run: string): Line[] =>
  readFileSync(at(run, 'metrics.jsonl'), 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line))
const steps = (run: string) => metrics(run).filter(({ kind }) => kind === 'train')
const evaluations = (run: string) => metrics(run).filter(({ kind }) => kind === 'evaluation')
const model = (run: string, folder = 'model') => readFileSync(at(run, folder, 'model.safetensors'))
const heldOutLoss = (run: string): number => JSON.parse(readFileSync(at(run, 'evaluation.json'), 'utf8')).loss

beforeAll(() => {
  scratch = mkdtempSync(join(tmpdir(), 'parscale-train-'))
  writeFileSync(at('text.txt'), documents.join('\n\n'))
})
afterAll(() => rmSync(scratch, { recursive: true }))

describe('a run', () => {
  it('learns, and its folder says so', async () => {
    const { stdout, stderr } = await succeed(
      'pretrain',
      '--data',
      at('text.txt'),
      ...tiny,
      '--p',
      '2',
      '--steps',
      '60',
      '--evaluate-every',
      '30',
      '--out',
      at('learns'),
    )
    expect(steps('learns').map(({ step }) => step)).toEqual(Array.from({ length: 60 }, (_, i) => i + 1))
    expect(evaluations('learns').map(({ step }) => step)).toEqual([0, 30, 60])
    const [before, , after] = evaluations('learns')
    expect(before!.loss).toBeGreaterThan(Math.log(250))
    expect(after!.loss).toBeLessThan(before!.loss - 1.5)
    expect(heldOutLoss('learns')).toBe(after!.loss)
    expect(steps('learns').at(-1)!.tokens).toBe(60 * 2 * 32)
    expect(stderr).toContain('rho')
    expect(stdout).toContain(at('learns', 'model'))
    const generated = await here(
      'generate',
      at('learns', 'model'),
      '--prompt',
      'They spoke of',
      '--max-tokens',
      '4',
      '--threads',
      '1',
    )
    expect(generated.code).toBe(0)
  })

  it('compares checkpoints on the same held-out sequences, though the last evaluation has all of them', async () => {
    const fixed = [
      '--evaluate-sequences',
      '1',
      '--learning-rate',
      '1e-30',
      '--final-learning-rate',
      '1e-30',
      '--weight-decay',
      '0',
    ]
    const data = ['--data', at('text.txt'), ...tiny, '--checkpoint-every', '1', '--evaluate-every', '1']
    await succeed('pretrain', ...data, ...fixed, '--p', '1', '--steps', '2', '--out', at('fixed'))
    const loss = (step: number) =>
      JSON.parse(readFileSync(at('fixed', 'checkpoints', `step-0000000${step}`, 'state.json'), 'utf8')).loss
    expect(loss(2)).toBe(loss(1))
    expect(heldOutLoss('fixed')).not.toBe(loss(2))
  })

  it('is the same in another folder, and another with another seed', async () => {
    const run = (out: string, seed: string) =>
      succeed(
        'pretrain',
        '--data',
        at('text.txt'),
        ...tiny,
        ...quick,
        '--p',
        '2',
        '--steps',
        '3',
        '--seed',
        seed,
        '--out',
        at(out),
      )
    await run('seed-0', '0')
    await run('seed-0-again', '0')
    await run('seed-1', '1')
    expect(model('seed-0-again')).toEqual(model('seed-0'))
    expect(model('seed-1')).not.toEqual(model('seed-0'))
  })

  it('gives the same with micro-batches as with one large batch', async () => {
    const run = (out: string, ...batch: string[]) =>
      succeed('pretrain', '--data', at('text.txt'), ...tiny, ...quick, '--steps', '3', ...batch, '--out', at(out))
    await run('large', '--batch-size', '4')
    await run('micro', '--batch-size', '2', '--micro-batches', '2')
    const losses = (name: string) => steps(name).map(({ loss }) => loss)
    for (const [i, loss] of losses('large').entries()) expect(losses('micro')[i]).toBeCloseTo(loss, 4)
    expect(steps('micro').at(-1)!.tokens).toBe(steps('large').at(-1)!.tokens)
  })

  it('follows its schedule', async () => {
    await succeed(
      'pretrain',
      '--data',
      at('text.txt'),
      ...tiny,
      ...quick,
      '--steps',
      '6',
      '--schedule',
      'wsd',
      '--warmup-steps',
      '2',
      '--decay-steps',
      '2',
      '--final-learning-rate',
      '0',
      '--out',
      at('wsd'),
    )
    const rates = steps('wsd').map(({ learningRate }) => learningRate)
    for (const [i, rate] of [0.005, 0.01, 0.01, 0.01, 0.005, 0].entries()) expect(rates[i]).toBeCloseTo(rate, 12)
  })
})

describe('recipes', () => {
  it('two-stage switches streams on and keeps the backbone that it has', async () => {
    await succeed(
      'two-stage',
      '--data',
      at('text.txt'),
      ...tiny,
      '--evaluate-every',
      '0',
      '--checkpoint-every',
      '1',
      '--keep',
      '9',
      '--steps',
      '4',
      '--second-steps',
      '2',
      '--p',
      '2',
      '--out',
      at('stages'),
    )
    expect(steps('stages').map(({ p }) => p)).toEqual([1, 1, 1, 1, 2, 2])
    expect(evaluations('stages').map(({ step }) => step)).toEqual([0, 4, 6])
    // One step of a small rate moves the embedding a little: it was carried over, and not drawn anew.
    const embedding = async (step: number) => (await checkpointTensors('stages', step)).get('model.embed_tokens.weight')!
    const [before, after] = [await embedding(4), await embedding(5)]
    expect(Math.max(...before.map((x, i) => Math.abs(x - after[i]!)))).toBeLessThan(0.05)
    expect([...(await checkpointTensors('stages', 4)).keys()].filter((name) => /prefix|aggregate/.test(name))).toEqual([])
    expect([...(await checkpointTensors('stages', 5)).keys()].filter((name) => /prefix|aggregate/.test(name))).toHaveLength(8)
  })

  it('recycle trains the streams alone, and from near the plain model if asked', async () => {
    await succeed('pretrain', '--data', at('text.txt'), ...tiny, ...quick, '--p', '1', '--steps', '20', '--out', at('plain'))
    const base = at('plain', 'model')
    const recycle = (out: string, ...args: string[]) =>
      succeed(
        'recycle',
        '--model',
        base,
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
        '--prefix-tokens',
        '4',
        '--threads',
        '1',
        '--set',
        'sample.tokens=4',
        '--steps',
        '2',
        ...args,
        '--out',
        at(out),
      )
    await recycle('recycled', '--p', '2')
    expect([...(await checkpointTensors('recycled', 2)).keys()].every((name) => /prefix|aggregate/.test(name))).toBe(true)
    expect(existsSync(at('recycled', 'model'))).toBe(false)
    for (const args of [['--input', 'lora'], ['--input', 'bitfit'], ['--prefix-gate']]) {
      const name = `near-${args.at(-1)}`
      await recycle(name, '--p', '2', '--init', 'near-identity', '--evaluate-sequences', '1000', ...args)
      expect(evaluations(name)[0]!.loss).toBeCloseTo(heldOutLoss('plain'), 5)
    }
    await recycle('all', '--p', '2', '--train', 'all')
    expect(existsSync(at('all', 'model', 'model.safetensors'))).toBe(true)
  })

  it('sft learns the answers of conversations only', async () => {
    const turns = documents.map((text, i) => ({
      messages: [
        { role: 'user', content: `Tell me of ${topics[i % 8]} ${i}` },
        { role: 'assistant', content: text.slice(0, 40) },
      ],
    }))
    writeFileSync(at('chat.jsonl'), turns.map((turn) => JSON.stringify(turn)).join('\n'))
    await succeed('pretrain', '--data', at('text.txt'), ...tiny, ...quick, '--steps', '2', '--out', at('for-chat'))
    const template =
      "{% for m in messages %}{{ '<' + m.role + '>' + m.content + '\\n' }}{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"
    writeFileSync(at('for-chat', 'model', 'chat_template.jinja'), template)
    await succeed(
      'sft',
      '--model',
      at('for-chat', 'model'),
      '--data',
      at('chat.jsonl'),
      '--held-out',
      '0.2',
      '--batch-size',
      '2',
      '--sequence-length',
      '128',
      '--prefix-tokens',
      '4',
      '--threads',
      '1',
      '--p',
      '2',
      '--steps',
      '3',
      ...quick,
      '--set',
      'sample.tokens=0',
      '--out',
      at('chatted'),
    )
    // Fewer tokens count than there are: questions do not.
    expect(steps('chatted').at(-1)!.tokens).toBeLessThan(3 * 2 * 60)
    expect(steps('chatted').at(-1)!.tokens).toBeGreaterThan(3 * 2)
  })

  it('sft passes over pieces in which nobody answers', async () => {
    const long = {
      messages: [
        { role: 'user', content: documents.slice(0, 6).join(' ') },
        { role: 'assistant', content: 'Yes.' },
      ],
    }
    writeFileSync(
      at('long-chat.jsonl'),
      Array.from({ length: 20 }, (_, i) =>
        JSON.stringify({ messages: [{ role: 'user', content: `${i} ${long.messages[0]!.content}` }, long.messages[1]] }),
      ).join('\n'),
    )
    await succeed(
      'sft',
      '--model',
      at('for-chat', 'model'),
      '--data',
      at('long-chat.jsonl'),
      '--held-out',
      '0.3',
      '--batch-size',
      '1',
      '--sequence-length',
      '24',
      '--threads',
      '1',
      '--p',
      '2',
      '--prefix-tokens',
      '2',
      '--steps',
      '5',
      ...quick,
      '--evaluate-sequences',
      '10000',
      '--set',
      'sample.tokens=0',
      '--out',
      at('long-chatted'),
    )
    expect(steps('long-chatted').map(({ step }) => step)).toEqual([1, 2, 3, 4, 5])
    expect(heldOutLoss('long-chatted')).toBeGreaterThan(0)
  })

  it('take streams as the model has them, if P is the same', async () => {
    const dry = async (recipe: string, ...args: string[]) =>
      JSON.parse(
        (
          await succeed(
            recipe,
            '--model',
            at('learns', 'model'),
            '--data',
            at('text.txt'),
            '--separator',
            '\\n\\n',
            '--held-out',
            '0.2',
            '--sequence-length',
            '32',
            '--dry-run',
            ...args,
          )
        ).stdout,
      )
    expect(await dry('recycle')).toMatchObject({ stages: [{ p: 2 }], streams: { prefixTokens: 4 } })
    expect(await dry('recycle', '--p', '4')).toMatchObject({ stages: [{ p: 4 }], streams: { prefixTokens: 48 } })
    expect(await dry('recycle', '--prefix-tokens', '7')).toMatchObject({ streams: { prefixTokens: 7 } })
  })

  it('--dry-run prints the whole configuration and leaves nothing', async () => {
    const { stdout, stderr } = await succeed(
      'pretrain',
      '--data',
      at('text.txt'),
      ...tiny,
      '--set',
      'optimizer.betas=[0.8,0.9]',
      '--train-tokens',
      '1K',
      '--out',
      at('dry'),
      '--dry-run',
    )
    expect(JSON.parse(stdout)).toMatchObject({
      recipe: 'pretrain',
      optimizer: { betas: [0.8, 0.9] },
      stages: [{ p: 2, steps: 16 }],
    })
    expect(stderr).toContain('memory')
    expect(existsSync(at('dry'))).toBe(false)
  })
})

describe('a run that is stopped and goes on', () => {
  const withoutClock = (run: string) => metrics(run).map((line) => ({ ...line, seconds: 0, time: '' }))

  /** The same run twice: once through, and stopped when `step N/` is shown. */
  async function stoppedAndWhole(name: string, stopAfter: number, args: readonly string[]) {
    const recorded = [...args, ...tiny, '--checkpoint-every', '0', '--log-every', '1']
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
    await succeed('pretrain', '--data', at('text.txt'), ...tiny, ...quick, '--p', '1', '--steps', '4', '--out', at('to-recycle'))
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

describe('refusals, before anything is computed', () => {
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
        at('for-chat', 'model'),
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
        '--input',
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
    ['a configuration on resume', () => ['--resume', at('learns'), '--p', '4'], /leave out --p/],
  ]
  it.each(refused)('%s', async (_, args, message) => {
    const { code, stderr } = await train(...args())
    expect(stderr).toMatch(message)
    expect(code).toBeGreaterThanOrEqual(2)
    expect(existsSync(at('x'))).toBe(false)
  })

  it('a frozen model that changed since the run was saved', async () => {
    const fresh = (seed: string) => [
      'pretrain',
      '--data',
      at('text.txt'),
      ...tiny,
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

/** Values of a checkpoint by name. */
async function checkpointTensors(run: string, step: number): Promise<ReadonlyMap<string, Float32Array>> {
  return (await readCheckpoint(at(run, 'checkpoints', `step-${String(step).padStart(8, '0')}`))).parameters
}
