/**
 * The equal-cost study of streams, as data: which models are trained, at which rates, with which seeds. study.ts trains them,
 * report.ts compares them.
 *
 * A cell is a model and a way to make its streams. Its rate is swept with seed 0; the best rate, chosen on documents that are
 * not reported, is run with the other seeds.
 */

/** What is read, and how much of it is kept to measure on. */
export interface Text {
  /** Its name in tables. */
  readonly name: string
  readonly files: string
  readonly heldOut: number
}

/** 2,500 steps read half of it once: what lacks is capacity. */
const prose: Text = { name: 'prose', files: '.cache/text/**/*.txt', heldOut: 0.1 }
/** 7,500 steps read three quarters of it once: three times as much for each parameter. */
const library: Text = { name: 'prose and books', files: '.cache/{text,books}/**/*.txt', heldOut: 0.1 }
/** 2,500 steps read it five times: what lacks is text. */
const mobyDick: Text = { name: 'Moby-Dick', files: '.cache/text/moby-dick/*.txt', heldOut: 0.2 }

/** A backbone, with tied embeddings, and what it reads. */
export interface Size {
  /** Its parameters without streams, in words. */
  readonly name: string
  readonly hidden: number
  readonly layers: number
  readonly heads: number
  readonly kvHeads: number
  readonly intermediate: number
  /** 257: it reads bytes. */
  readonly vocabulary: number
  readonly text: Text
  /** Tokens that see each other in training, and those that may when it is used. */
  readonly context: number
  readonly positions: number
  /** Of 2,048 tokens. */
  readonly steps: number
  /** Learning rates to begin with; where the best is the first or the last of them, the next one is tried, too. */
  readonly rates: readonly number[]
}

export interface Variant {
  readonly name: string
  /** What a reader calls it. */
  readonly title: string
  readonly p: number
  /** P models that share nothing, at the best rate of P = 1, whose probabilities are averaged. */
  readonly independent?: true
  /** Arguments of `parscale train` beside the common ones. */
  readonly args: readonly string[]
}

export interface Cell {
  readonly size: Size
  readonly variant: Variant
  readonly seeds: readonly number[]
  /** The best rate of a cell that is much like it. Default: its own, which is swept. */
  readonly rate?: number
}

const size = (name: string, hidden: number, layers: number, heads: number, rates: readonly number[], steps = 2500): Size => ({
  name,
  hidden,
  layers,
  heads,
  kvHeads: heads,
  intermediate: 3 * hidden,
  vocabulary: 257,
  text: prose,
  context: 64,
  positions: 64,
  steps,
  rates,
})

const repeated = (size: Size): Size => ({ ...size, name: `${size.name}-repeated`, text: mobyDick })
const long = (size: Size): Size => ({ ...size, name: `${size.name}-long`, text: library, steps: 7500 })

const bytes = {
  '21k': size('21k', 24, 2, 2, [2e-2, 4e-2]),
  '35k': size('35k', 32, 2, 2, [1e-2, 2e-2]),
  '49k': size('49k', 32, 3, 2, [1e-2, 2e-2]),
  '73k': size('73k', 40, 3, 2, [1e-2, 2e-2]),
  '103k': size('103k', 48, 3, 3, [1e-2, 2e-2]),
  '171k': size('171k', 64, 3, 4, [5e-3, 1e-2]),
  '222k': size('222k', 64, 4, 4, [5e-3, 1e-2]),
  '340k': size('340k', 80, 4, 5, [5e-3, 1e-2]),
}

export const sizes = {
  ...bytes,
  '21k-repeated': repeated(bytes['21k']),
  '35k-repeated': repeated(bytes['35k']),
  '73k-repeated': repeated(bytes['73k']),
  '21k-long': long({ ...bytes['21k'], rates: [1e-2, 2e-2] }),
  '35k-long': long(bytes['35k']),
  '49k-long': long(bytes['49k']),
  '73k-long': long(bytes['73k']),
  '171k-long': long(bytes['171k']),
  '222k-long': long(bytes['222k']),
  /** Reads tokens in place of bytes, and all of the text 3.4 times. */
  tokens: { ...size('tokens', 64, 3, 2, [1e-2], 6000), kvHeads: 1, vocabulary: 1024, context: 256, positions: 512 },
} satisfies Record<string, Size>

const single = (name: string, title: string, ...args: string[]): Variant => ({ name, title, p: 1, args })
const control = (name: string, title: string, ...args: string[]): Variant => single(name, title, '--input-at-one', ...args)
const streams = (name: string, title: string, p: number, ...args: string[]): Variant => ({
  name: `${name}-p${p}`,
  title: `P = ${p}, ${title}`,
  p,
  args,
})

const prefix = ['--streams', 'prefix', '--prefix-tokens', '16']
const scales = ['--streams', 'scales']
const scalesAndAll = ['--streams', 'scales,bitfit,norms']
const lora = ['--streams', 'lora', '--stream-rank', '2']
/** Without it the aggregator gives nearly every token to one stream, once streams differ. */
const balanced = ['--balance', '0.1']
const average = ['--aggregation', 'average']

export const variants = {
  p1: single('p1', 'P = 1'),
  p1Prefix: control('p1-prefix', 'P = 1 with a prefix', ...prefix),
  p1Scales: control('p1-scales', 'P = 1 with scales', ...scales),
  p1All: control('p1-all', 'P = 1 with scales, biases and gains', ...scalesAndAll),
  p1Lora: control('p1-lora', 'P = 1 with LoRA', ...lora),
  prefix: (p: number) => streams('prefix', 'prefixes', p, ...prefix),
  scales: (p: number) => streams('scales', 'scales', p, ...scales, ...balanced),
  all: (p: number) => streams('all', 'scales, biases and gains', p, ...scalesAndAll, ...balanced),
  allUnbalanced: (p: number) => streams('all-unbalanced', 'scales, biases and gains, not balanced', p, ...scalesAndAll),
  allAverage: (p: number) => streams('all-average', 'scales, biases and gains, averaged', p, ...scalesAndAll, ...average),
  allProbabilities: (p: number) =>
    streams(
      'all-probabilities',
      'scales, biases and gains, probabilities mixed',
      p,
      ...scalesAndAll,
      ...balanced,
      '--merge',
      'probabilities',
    ),
  /** Keys and values of the last `window` tokens are a stream's own, those further back the first stream's. */
  allWindow: (p: number, window: number) =>
    streams(
      `all-window${window}`,
      `scales, biases and gains, own window of ${window}`,
      p,
      ...scalesAndAll,
      ...balanced,
      '--own-window',
      String(window),
    ),
  lora: (p: number) => streams('lora', 'LoRA of rank 2', p, ...lora, ...balanced),
  /** P can be chosen later. */
  allNested: (p: number) =>
    streams('all-nested', 'scales, biases and gains, nested', p, ...scalesAndAll, ...balanced, '--nest-streams', '0.5'),
  independent: (p: number): Variant => ({
    name: `independent-p${p}`,
    title: `${p} models of P = 1, probabilities averaged`,
    p,
    independent: true,
    args: [],
  }),
  norms: (p: number) => streams('norms', 'gains and biases', p, '--streams', 'bitfit,norms', ...balanced),
}

const cell = (size: Size, variant: Variant, seeds: readonly number[] = [0, 1, 2]): Cell => ({ size, variant, seeds })

/** P = 1 at sizes around the studied one: what parameters alone are worth. One seed, and the given rates only. */
const ladder = (...names: (keyof typeof sizes)[]): Cell[] => names.map((name) => cell(sizes[name], variants.p1, [0]))

/** In the order in which they are worth having. */
export const cells: readonly Cell[] = [
  cell(sizes['35k'], variants.p1),
  ...ladder('49k'),
  ...[variants.p1All, variants.all(4)].map((variant) => cell(sizes['35k'], variant)),
  cell(sizes['35k'], variants.prefix(4)),
  cell(sizes['35k'], variants.independent(4)),
  ...[1, 8, 16].map((window) => ({ ...cell(sizes['35k'], variants.allWindow(4, window)), rate: 2e-2 })),
  ...[variants.p1, variants.all(4), variants.p1All].map((variant) => cell(sizes['73k'], variant)),
  cell(sizes['21k'], variants.p1),
  ...[4, 8].map((p) => cell(sizes['21k'], variants.allWindow(p, 1))),
  { ...cell(sizes['21k'], variants.allWindow(16, 1), [0]), rate: 1e-2 },
  ...[variants.p1, variants.p1All, variants.all(4)].map((variant) => cell(sizes['35k-repeated'], variant)),
  ...ladder('21k-repeated', '73k-repeated'),
  ...[variants.lora(4), variants.all(8)].map((variant) => cell(sizes['35k'], variant)),
  cell(sizes['35k'], variants.allWindow(8, 1)),
  ...[variants.p1, variants.all(4), variants.p1All].map((variant) => cell(sizes['171k'], variant)),
  ...ladder('103k', '222k', '340k'),
  // At the best rates of 2,500 steps.
  cell(sizes['21k-long'], variants.p1),
  { ...cell(sizes['21k-long'], variants.allWindow(4, 1), [0]), rate: 2e-2 },
  { ...cell(sizes['21k-long'], variants.allWindow(8, 1), [0]), rate: 1e-2 },
  { ...cell(sizes['49k-long'], variants.p1, [0]), rate: 2e-2 },
  ...(['35k-long', '171k-long'] as const).flatMap((name) =>
    [variants.p1, variants.all(4)].map((variant) => cell(sizes[name], variant, [0])),
  ),
  ...ladder('73k-long', '222k-long'),
  cell(sizes['340k'], variants.all(4), [0]),
  ...[16, 32].map((p) => ({ ...cell(sizes['35k'], variants.all(p), [0]), rate: 2e-2 })),
  ...[variants.allAverage(4), variants.allUnbalanced(4)].map((variant) => cell(sizes['35k'], variant)),
  ...[variants.prefix(4), variants.lora(4), variants.all(8)].map((variant) => cell(sizes['171k'], variant, [0])),
  ...[
    variants.all(2),
    variants.scales(4),
    variants.norms(4),
    variants.allProbabilities(4),
    variants.p1Prefix,
    variants.p1Lora,
  ].map((variant) => cell(sizes['35k'], variant)),
  ...[variants.p1, variants.p1All, variants.all(8), variants.allNested(8)].map((variant) => cell(sizes.tokens, variant)),
]

/** Of one run. */
export interface RunName {
  readonly cell: Cell
  readonly rate: number
  readonly seed: number
}

export const cellName = ({ size, variant }: Cell): string => `${size.name}-${variant.name}`
/** Losses of one can be compared with losses of the other: the same tokens of the same text. */
export const isComparable = (a: Size, b: Size): boolean => a.vocabulary === b.vocabulary && a.text === b.text
export const runName = ({ cell, rate, seed }: RunName): string => `${cellName(cell)}-rate${rate}-seed${seed}`

/** The models of which an independent run consists; a seed of each is its own. */
export const membersOf = ({ cell: { size, variant }, rate, seed }: RunName): RunName[] =>
  Array.from({ length: variant.p }, (_, i) => ({ cell: cell(size, variants.p1), rate, seed: seed * variant.p + i }))

/** Arguments of `parscale train`, but for --out and --threads. */
export function runArguments({ cell: { size, variant }, rate, seed }: RunName): string[] {
  return [
    ...[
      'pretrain',
      '--data',
      size.text.files,
      '--held-out',
      String(size.text.heldOut),
      '--packing',
      'document',
      '--vocab-size',
      String(size.vocabulary),
    ],
    ...['--hidden-size', size.hidden, '--layers', size.layers, '--heads', size.heads, '--kv-heads', size.kvHeads].map(String),
    ...['--intermediate-size', String(size.intermediate), '--set', `shape.maxPositionEmbeddings=${size.positions}`],
    ...[
      '--sequence-length',
      String(size.context),
      '--batch-size',
      String(2048 / size.context),
      '--steps',
      String(size.steps),
      '--learning-rate',
      String(rate),
    ],
    ...['--p', String(variant.p), ...variant.args, '--seed', String(seed)],
    ...['--evaluate-every', '500', '--evaluate-sequences', '64', '--checkpoint-every', '500', '--keep', '1', '--log-every', '50'],
    ...['--set', 'sample.tokens=0'],
  ]
}
