/** `parscale export` on runs that were really trained: a backbone from scratch, and streams for it when it is frozen. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type RecipeName, recipeNames } from '@parscale/core/internal/training'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { runCommand } from '../export/run-command.ts'
import { runHere } from '../testing/run-here.ts'
import { configOf } from './train-options.ts'

let scratch: string
let text: string
let plain: string
const at = (name: string) => join(scratch, name)
const small = [
  ...['--batch-size', '2', '--sequence-length', '16', '--evaluate-every', '2', '--checkpoint-every', '2'],
  ...['--steps', '4', '--held-out', '0.3', '--set', 'sample.tokens=0', '--set', 'evaluation.diagnoseTokens=0'],
]
const fresh = ['--hidden-size', '16', '--intermediate-size', '24', '--layers', '1', '--heads', '2', '--kv-heads', '1']

async function succeed(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await runHere(args, { PARSCALE_CACHE: at('cache') })
  expect(stderr.replace(/^(?!parscale:).*\n/gm, '')).toBe('')
  expect(code).toBe(0)
  return stdout
}

async function fail(...args: string[]): Promise<string> {
  const { code, stderr } = await runHere(args, { PARSCALE_CACHE: at('cache') })
  expect(code).toBe(2)
  return stderr
}

beforeAll(async () => {
  scratch = mkdtempSync(join(tmpdir(), 'parscale-export-'))
  text = at('text.txt')
  writeFileSync(text, Array.from({ length: 40 }, (_, i) => `Document ${i}: ${'one two three four '.repeat(i % 7)}`).join('\n\n'))
  const data = ['--data', text, '--separator', '\n\n']
  await succeed('train', 'pretrain', ...data, '--p', '1', ...small, ...fresh, '--vocab-size', '270', '--out', at('base-run'))
  plain = at('plain')
  await succeed('export', at('base-run'), '--out', plain)
  for (const p of ['2', '4']) {
    await succeed(
      'train',
      'recycle',
      '--model',
      plain,
      ...data,
      '--p',
      p,
      '--prefix-tokens',
      '2',
      ...small,
      '--out',
      at(`run-p${p}`),
    )
  }
})
afterAll(() => rmSync(scratch, { recursive: true }))

const bytesOf = (...path: string[]) => readFileSync(join(scratch, ...path, 'model.safetensors'))

describe('one run', () => {
  it('that trained all weights: the folder that training itself writes, and a card', async () => {
    expect(bytesOf('plain')).toEqual(bytesOf('base-run', 'model'))
    const files = [
      'README.md',
      'config.json',
      'generation_config.json',
      'model.safetensors',
      'tokenizer.json',
      'tokenizer_config.json',
    ]
    expect((await readdir(plain)).sort()).toEqual(files)
    const card = readFileSync(join(plain, 'README.md'), 'utf8')
    expect(card).toContain('\n# plain\n')
    expect(card).toMatch(/\| held out of the data below \| 1 \| \d\.\d{4} \| \d\.\d{4} to \d\.\d{4} \|/)
    expect(card).toMatch(/parscale train pretrain --data text\.txt .*--set shape\.hiddenSize=16/)
    expect(card).not.toContain(scratch)
  })

  it('of an earlier step: says that it is unfinished', async () => {
    await succeed('export', at('base-run'), '--checkpoint', '2', '--out', at('early'))
    expect(bytesOf('early')).not.toEqual(bytesOf('plain'))
    expect(readFileSync(at('early/README.md'), 'utf8')).toContain('this is step 2 of 4')
  })

  it('that trained streams: streams alone, which run on their backbone', async () => {
    await succeed('export', at('run-p2'), '--out', at('alone'))
    expect((await readdir(at('alone'))).sort()).toEqual(['README.md', 'config.json', 'model.safetensors'])
    const { parscale_backbone_sha256: sha256 } = JSON.parse(readFileSync(at('alone/config.json'), 'utf8'))
    expect(readFileSync(at('alone/README.md'), 'utf8')).toContain(sha256)
    const streams = ['--stream-set', at('alone'), '--p', '2']
    const apart = await succeed('score', plain, ...streams, '--text', 'Document 3: one two', '--json')
    await succeed('export', at('run-p2'), '--merge', '--out', at('merged'))
    const together = await succeed('score', at('merged'), '--text', 'Document 3: one two', '--json')
    const losses = (json: string) => JSON.stringify(JSON.parse(json)).replaceAll(at('merged'), '').replaceAll(plain, '')
    expect(losses(apart)).toBe(losses(together))
  })
})

describe('several runs on one backbone', () => {
  it('make one model, P chosen when it is run', async () => {
    writeFileSync(at('results.json'), JSON.stringify([{ p: 1, loss: 5.5, tokens: 100, data: 'other | text' }]))
    const more = ['--results', at('results.json'), '--licence', 'cc0-1.0', '--name', 'A *family*']
    await succeed('export', at('run-p2'), at('run-p4'), '--merge', '--dtype', 'bf16', ...more, '--out', at('family'))
    expect((await readdir(at('family/streams'))).sort()).toEqual(['p2', 'p4'])
    expect(await succeed('inspect', at('family'))).toMatch(/streams +P = 1, 2, 4\n/)
    const card = readFileSync(at('family/README.md'), 'utf8')
    expect(card).toContain('# A \\*family\\*')
    expect(card).toContain('license: "cc0-1.0"')
    expect(card).toContain('| other \\| text | 1 | 5.5000 |')
    expect(card).toContain('P can be 1, 2, 4.')
    expect(await succeed('generate', at('family'), '--p', '4', '--prompt', 'one', '--max-tokens', '2', '--json')).toContain(
      '"p": 4',
    )
  })

  it('only with --merge, and only if none trained the backbone', async () => {
    expect(await fail('export', at('run-p2'), at('run-p4'), '--out', at('no'))).toContain('only with --merge')
    expect(await fail('export', at('run-p2'), at('base-run'), '--merge', '--out', at('no'))).toContain('trained all weights')
  })
})

describe('refuses', () => {
  it.each([
    [
      'a step without a checkpoint',
      ['base-run', '--checkpoint', '3'],
      /no checkpoint of step 3; there are those of steps .*2, 4/,
    ],
    ['a folder without a run', ['plain/..'], /is not the folder of a run/],
    ['results that are none', ['base-run', '--results', 'text.txt'], /expected a JSON list/],
  ])('%s', async (_, [run, ...flags], message) => {
    const named = flags.map((flag) => (flag.endsWith('.txt') ? at(flag) : flag))
    expect(await fail('export', at(run!), ...named, '--out', at('no'))).toMatch(message)
  })

  it('a target that is taken', async () => {
    expect(await fail('export', at('base-run'), '--out', plain)).toContain('is not empty; nothing is overwritten')
  })

  it('a run without a checkpoint yet', async () => {
    const config = readFileSync(at('base-run/config.json'))
    const young = mkdtempSync(join(scratch, 'young-'))
    writeFileSync(join(young, 'config.json'), config)
    expect(await fail('export', young, '--out', at('no'))).toContain('has no checkpoint yet')
  })
})

it('writes the command that gives the same configuration', () => {
  const value = fc.oneof(fc.constant("it's"), fc.constant('$HOME "x" \\ `y`'), fc.string({ maxLength: 8 }))
  const setting = fc.oneof(
    value.map((prompt) => `sample.prompt=${JSON.stringify(prompt)}`),
    fc.constantFrom(
      'streams.smoothing=0',
      'optimizer.maxGradNorm=null',
      'stages.0.schedule="linear"',
      'batch.tokens=77',
      'data.chat=true',
    ),
  )
  fc.assert(
    fc.property(fc.constantFrom(...recipeNames), fc.array(setting, { maxLength: 4 }), value, (recipe: RecipeName, set, name) => {
      const config = configOf(recipe, {
        data: [`/data/${name}`, '/b'],
        model: /recycle|sft/.test(recipe) ? `m/${name}` : undefined,
        set,
        p: 2,
        seed: 3,
      })
      const [program, train, found, ...words] = shellWords(runCommand(config))
      expect([program, train, found]).toEqual(['parscale', 'train', recipe])
      const flags: Record<string, unknown> = { data: [], set: [] }
      for (let i = 0; i < words.length; i += 2) {
        const key = words[i]!.slice(2).replace(/-(.)/g, (_, letter: string) => letter.toUpperCase())
        if (key === 'data' || key === 'set') (flags[key] as string[]).push(words[i + 1]!)
        else flags[key] = key === 'model' || key === 'out' ? words[i + 1] : Number(words[i + 1])
      }
      expect(configOf(recipe, flags)).toEqual(config)
    }),
    { seed: 4 },
  )
})

it('leaves out of that command what does nothing in the run', () => {
  const config = configOf('pretrain', { data: ['x'], p: 1, learningRate: 1e-3 })
  const streams = { ...config.streams, prefixTokens: 4, ownWindow: 8, merge: 'probabilities' as const }
  expect(runCommand({ ...config, streams })).toBe(runCommand(config))
  const trained = { ...config, streams: { ...streams, inputAtOne: true } }
  expect(runCommand(trained)).toContain('--set streams.prefixTokens=4 --set streams.inputAtOne=true --out')
})

/** A command as a POSIX shell cuts it, of words that are plain or single-quoted. */
const shellWords = (command: string): string[] =>
  [...command.matchAll(/(?:[^\s'\\]|'[^']*'|\\')+/g)].map(([word]) =>
    word.replace(/'([^']*)'|\\'/g, (whole, inside) => (whole === "\\'" ? "'" : inside)),
  )
