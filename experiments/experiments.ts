/**
 * The experiments of docs/experiments.md, as data: each is a list of runs of `parscale train`, and the pairs to compare.
 * run.ts runs and compares them.
 */

export interface Run {
  /** Unique within the experiment. */
  readonly name: string
  /** Runs that differ in nothing but the seed share a variant. */
  readonly variant: string
  readonly seed: number
  /** Arguments of `parscale train`, but for --out. */
  readonly args: readonly string[]
}

export interface Experiment {
  readonly title: string
  /** Every pair of variants whose difference in loss is of interest: `than` minus `is`, above 0 where `is` is better. */
  readonly pairs: readonly (readonly [is: string, than: string])[]
  readonly runs: readonly Run[]
  /** A text that has nothing to do with the training data: scored by every model, tokens of it. */
  readonly otherText?: { readonly path: string; readonly tokens: number }
}

const prose = '.cache/text/**/*.txt'

/** 0.9 million parameters: what two cores train in minutes. */
const small = [
  ...['--data', prose, '--vocab-size', '1024', '--hidden-size', '128', '--layers', '4', '--heads', '2', '--kv-heads', '1'],
  ...['--head-dim', '64', '--intermediate-size', '384', '--batch-size', '16', '--sequence-length', '128'],
  ...['--learning-rate', '3e-3', '--prefix-tokens', '16', '--evaluate-every', '100', '--checkpoint-every', '100'],
  ...['--warmup-steps', '50', '--set', 'sample.tokens=0'],
]

const seeds = [0, 1]
const run = (variant: string, seed: number, args: readonly string[]): Run => ({
  name: `${variant}-seed${seed}`.replaceAll(/[^\w.-]+/g, '-'),
  variant,
  seed,
  args: [...args, '--seed', String(seed)],
})

const pretrain = (variant: string, seed: number, p: number, extra: readonly string[] = []): Run =>
  run(variant, seed, ['pretrain', ...small, '--steps', '500', '--p', String(p), ...extra])

const smollm2 = '.cache/smollm2/SmolLM2-135M-Instruct.Q4_1.gguf'
const recycle = (variant: string, p: number, extra: readonly string[] = []): Run =>
  run(variant, 0, [
    ...['recycle', '--model', smollm2, '--data', prose, '--p', String(p), '--prefix-tokens', '16', '--steps', '60'],
    ...['--batch-size', '4', '--sequence-length', '128', '--learning-rate', '5e-3', '--held-out', '0.02'],
    ...['--evaluate-every', '30', '--evaluate-sequences', '16', '--checkpoint-every', '10', '--set', 'sample.tokens=0', ...extra],
  ])

export const experiments: Readonly<Record<string, Experiment>> = {
  scratch: {
    title: 'From scratch: P = 1, 2, 4 at equal tokens',
    pairs: [
      ['P = 2', 'P = 1'],
      ['P = 4', 'P = 1'],
      ['P = 4', 'P = 2'],
    ],
    runs: [1, 2, 4].flatMap((p) => seeds.map((seed) => pretrain(`P = ${p}`, seed, p))),
  },
  aggregation: {
    title: 'Aggregation: dynamic, static and average, P = 2',
    pairs: [
      ['dynamic', 'average'],
      ['dynamic', 'static'],
      ['static', 'average'],
    ],
    runs: ['dynamic', 'static', 'average'].map((kind) => pretrain(kind, 0, 2, ['--aggregation', kind])),
  },
  smoothing: {
    title: 'Smoothing 0, 0.01, 0.1, P = 2',
    pairs: [
      ['0.1', '0'],
      ['0.1', '0.01'],
      ['0.01', '0'],
    ],
    runs: ['0', '0.01', '0.1'].map((e) => pretrain(e, 0, 2, ['--smoothing', e])),
  },
  recycle: {
    title: 'Recycling SmolLM2-135M-Instruct with a frozen backbone',
    pairs: [
      ['P = 1 with a prefix', 'the model as it is'],
      ['P = 2', 'P = 1 with a prefix'],
      ['P = 4', 'P = 1 with a prefix'],
      ['P = 4', 'P = 2'],
    ],
    runs: [recycle('P = 1 with a prefix', 1, ['--input-at-one']), recycle('P = 2', 2), recycle('P = 4', 4)],
    otherText: { path: '.cache/code/rxjs/internal/Observable.ts.txt', tokens: 1024 },
  },
  stages: {
    title: 'Two stages against one at equal cost, P = 2',
    pairs: [
      ['two stages', 'one stage'],
      ['two stages', 'P = 1 throughout'],
    ],
    // A step at P = 2 is counted as two at P = 1: 400 + 2 x 50 = 2 x 250 = 500.
    runs: [
      run('two stages', 0, ['two-stage', ...small, '--steps', '400', '--second-steps', '50', '--p', '2']),
      run('one stage', 0, ['pretrain', ...small, '--steps', '250', '--p', '2']),
      run('P = 1 throughout', 0, ['pretrain', ...small, '--steps', '500', '--p', '1']),
    ],
  },
}
