/** `parscale train`: what a run computes and records. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { shippedModel } from '../load/find-model.ts'
import {
  at,
  checkpointTensors,
  documents,
  evaluations,
  heldOutLoss,
  here,
  model,
  quick,
  steps,
  succeed,
  tiny,
  tinyPlain,
  topics,
} from '../testing/train-runs.ts'

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
    const data = ['--data', at('text.txt'), ...tinyPlain, '--checkpoint-every', '1', '--evaluate-every', '1']
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
    await succeed('pretrain', '--data', at('text.txt'), ...tinyPlain, ...quick, '--p', '1', '--steps', '20', '--out', at('plain'))
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
    await recycle('recycled', '--p', '2', '--prefix-tokens', '4')
    expect([...(await checkpointTensors('recycled', 2)).keys()].every((name) => /prefix|aggregate/.test(name))).toBe(true)
    expect(existsSync(at('recycled', 'model'))).toBe(false)
    for (const args of [
      ['--streams', 'lora'],
      ['--streams', 'scales,norms'],
      ['--prefix-tokens', '4', '--prefix-gate'],
    ]) {
      const name = `near-${args.at(-1)}`
      await recycle(name, '--p', '2', '--init', 'near-identity', '--evaluate-sequences', '1000', ...args)
      expect(evaluations(name)[0]!.loss).toBeCloseTo(heldOutLoss('plain'), 5)
    }
    await recycle('all', '--p', '2', '--train', 'all')
    expect(existsSync(at('all', 'model', 'model.safetensors'))).toBe(true)
  })

  it('recycle trains anew a P that the model has: looks at it while it trains, and says how to run it', async () => {
    const small = [
      '--model',
      shippedModel,
      '--p',
      '2',
      '--set',
      'sample.tokens=2',
      '--set',
      'evaluation.diagnoseTokens=16',
      '--threads',
      '1',
    ]
    const brief = ['--steps', '1', '--batch-size', '1', '--sequence-length', '16', '--separator', '\n\n', '--held-out', '0.2']
    const { stdout, stderr } = await succeed('recycle', '--data', at('text.txt'), ...small, ...brief, '--out', at('anew'))
    expect(stderr).not.toContain('no sample and no diagnosis')
    expect(stderr).toContain('sample: ')
    const tried = /try it: parscale (generate .* --p 2) --prompt/.exec(stdout)![1]!.split(' ')
    expect(await here(...tried, '--prompt', 'one', '--max-tokens', '2', '--json')).toMatchObject({
      code: 0,
      stdout: expect.stringContaining('"p": 2'),
    })
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
