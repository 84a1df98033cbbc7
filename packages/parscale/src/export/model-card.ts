/**
 * The README.md of an exported model: front matter as the Hugging Face hub reads it, then what was trained, on what, how, and
 * what came out. Everything in it is said by the summary; nothing is looked up or assumed.
 */
import { code, codeBlock, plain, table } from './markdown.ts'
import { type Yaml, yaml } from './yaml.ts'

export interface StageSummary {
  readonly p: number
  readonly steps: number
  readonly tokens: number
  readonly train: 'all' | 'streams'
  readonly schedule: string
  readonly learningRate: number
  readonly finalLearningRate: number
}

/** A loss in nats a token, over tokens that were held out. */
export interface ResultSummary {
  readonly p: number
  readonly loss: number
  /** 95 % confidence interval of it. */
  readonly interval?: readonly [low: number, high: number]
  /** Tokens it was measured on. */
  readonly tokens: number
  /** What was measured on, where it is not the run's own held-out data. */
  readonly data?: string
}

export interface RunSummary {
  /** Of the model. */
  readonly name: string
  readonly recipe: string
  /** What repeats the run. */
  readonly command: string
  /** Of parscale. */
  readonly version: string
  /** An SPDX name such as apache-2.0; absent: the card does not say. */
  readonly licence?: string
  readonly languages?: readonly string[]
  /** What the run started from: a path, or ORG/NAME, which becomes the card's base_model. */
  readonly base?: { readonly name: string; readonly frozen: boolean; readonly sha256?: string }
  /** Each P that the model can be run with. */
  readonly p: readonly number[]
  /** Parameters of the backbone, and of the streams for the largest P. */
  readonly parameters: { readonly backbone: number; readonly streams: number }
  /** The folder holds streams only: how to use them names the backbone. */
  readonly streamsOnly: boolean
  readonly stages: readonly StageSummary[]
  readonly data: {
    readonly files: readonly string[]
    readonly textBytes: number
    readonly documents: number
    readonly trainTokens: number
    readonly heldOutTokens: number
    /** Data sets by their names on the hub. */
    readonly hubNames?: readonly string[]
    /** Where it comes from and what may be done with it, in words. */
    readonly about?: string
  }
  /** Tokens predicted while training. */
  readonly tokensSeen: number
  readonly results: readonly ResultSummary[]
  /** Everything else that decides the result, by its path in the run's configuration. */
  readonly hyperparameters: Readonly<Record<string, string | number | boolean | null>>
  readonly trainingSeconds: number
  /** In words, such as the processor's name. */
  readonly hardware?: string
  readonly limits?: readonly string[]
}

/** The card as the text of README.md. Strings of the summary are shown as they are, whatever they contain. */
export function modelCard(run: RunSummary): string {
  const sections = [
    ['', introduction(run)],
    ['Use', use(run)],
    ['Results', results(run)],
    ['Training', training(run)],
    ['Data', data(run)],
    ['Limits', limits(run)],
  ] as const
  const body = sections.map(([title, text]) => (title ? `## ${title}\n\n${text}` : text)).join('\n\n')
  return `---\n${yaml(frontMatter(run))}---\n\n# ${plain(run.name)}\n\n${body}\n`
}

/** https://huggingface.co/docs/hub/model-cards#model-card-metadata */
function frontMatter(run: RunSummary): { readonly [key: string]: Yaml | undefined } {
  const { base, data: source } = run
  return {
    library_name: 'parscale',
    license: run.licence,
    language: run.languages,
    pipeline_tag: 'text-generation',
    tags: ['parscale', 'text-generation', run.recipe],
    // The hub takes names of its own only.
    base_model: base && isHubName(base.name) ? base.name : undefined,
    datasets: source.hubNames?.length ? source.hubNames : undefined,
    'model-index': run.results.length > 0 ? [{ name: run.name, results: run.results.map(indexEntry(run)) }] : undefined,
  }
}

const indexEntry =
  ({ data: { files, hubNames } }: RunSummary) =>
  ({ p, loss, data: other }: ResultSummary): Yaml => ({
    task: { type: 'text-generation', name: 'Next-token prediction' },
    dataset: { name: other ?? `held out of ${files.join(', ')}`, type: (other === undefined && hubNames?.[0]) || 'text' },
    metrics: [
      { type: 'loss', name: `nats a token, P = ${p}`, value: loss },
      { type: 'perplexity', name: `perplexity, P = ${p}`, value: Math.exp(loss) },
    ],
  })

const isHubName = (name: string): boolean => /^[\w-][\w.-]*\/[\w-][\w.-]*$/.test(name)

function introduction({ base, p, parameters, recipe, version }: RunSummary): string {
  const origin = base ? `trained from ${code(base.name)}${base.frozen ? ' (frozen)' : ''}` : 'trained from scratch'
  const streams =
    parameters.streams > 0
      ? `${grouped(parameters.backbone)} parameters, and ${grouped(parameters.streams)} for ${Math.max(...p)} parallel streams`
      : `${grouped(parameters.backbone)} parameters`
  const hash = base?.sha256 ? ` Backbone (SHA-256): ${code(base.sha256)}.` : ''
  return `A language model with parallel streams ([ParScale](https://arxiv.org/abs/2505.10475)), ${origin} with the recipe ${code(recipe)} of parscale ${plain(version)}. It has ${streams}; P can be ${p.join(', ')}.${hash}`
}

function use({ base, p, streamsOnly }: RunSummary): string {
  const largest = Math.max(...p)
  const chosen = largest > 1 ? ` --p ${largest}` : ''
  if (!streamsOnly) return codeBlock(`npx parscale generate .${chosen} --prompt "Once upon a time"`, 'sh')
  // A name that a shell would cut or act on is not written into a command.
  const backbone = base && /^[\w./-]+$/.test(base.name) ? base.name : 'BACKBONE'
  return `This folder holds streams only; they run on the backbone that they were trained on, and on no other.\n\n${codeBlock(
    `npx parscale generate ${backbone} --stream-set .${chosen} --prompt "Once upon a time"`,
    'sh',
  )}`
}

function results({ results: found }: RunSummary): string {
  if (found.length === 0) return 'Not measured: there was no held-out data, or no evaluation yet.'
  const rows = found.map(({ p, loss, interval, tokens, data: other }) => [
    other === undefined ? 'held out of the data below' : plain(other),
    String(p),
    loss.toFixed(4),
    interval ? `${interval[0].toFixed(4)} to ${interval[1].toFixed(4)}` : '',
    Math.exp(loss).toFixed(2),
    grouped(tokens),
  ])
  return table(['data', 'P', 'loss, nats a token', '95 % interval', 'perplexity', 'tokens'], rows)
}

function training(run: RunSummary): string {
  const stages = run.stages.map((stage, i) => [
    String(i + 1),
    String(stage.p),
    grouped(stage.steps),
    grouped(stage.tokens),
    stage.train === 'all' ? 'all weights' : 'streams',
    plain(stage.schedule),
    `${shortNumber(stage.learningRate)} to ${shortNumber(stage.finalLearningRate)}`,
  ])
  const hyperparameters = Object.entries(run.hyperparameters).map(([key, value]) => `${key} = ${JSON.stringify(value)}`)
  const where = run.hardware === undefined ? '' : ` on ${plain(run.hardware)}`
  return [
    codeBlock(run.command, 'sh'),
    table(['stage', 'P', 'steps', 'tokens', 'trained', 'schedule', 'learning rate'], stages),
    `${grouped(run.tokensSeen)} tokens in ${duration(run.trainingSeconds)}${where}.`,
    codeBlock(hyperparameters.join('\n')),
  ].join('\n\n')
}

function data({ data: { files, textBytes, documents, trainTokens, heldOutTokens, about } }: RunSummary): string {
  return [
    ...files.map((file) => `- ${code(file)}`),
    '',
    ...(about === undefined ? [] : [plain(about), '']),
    `${grouped(documents)} documents, ${grouped(textBytes)} bytes of text: ${grouped(trainTokens)} tokens to train on, ${grouped(heldOutTokens)} held out, by whole documents. A document that was there twice was taken once, so none is on both sides.`,
  ].join('\n')
}

function limits({ tokensSeen, limits: said = [] }: RunSummary): string {
  const own = [
    `It knows what ${grouped(tokensSeen)} tokens of the data above (and its base, if it has one) can teach. It was not tuned to be helpful, truthful or harmless unless the recipe says so, and repeats what its data say.`,
    'Losses are means over held-out documents of the same sources; other text was not measured unless it is listed.',
  ]
  return [...own, ...said.map(plain)].map((line) => `- ${line}`).join('\n')
}

/** Without the noise of the last bits. */
const shortNumber = (x: number): string => String(Number(x.toPrecision(6)))

/** 1234567 as 1,234,567. */
const grouped = (count: number): string => String(count).replace(/\B(?=(\d{3})+(?!\d))/g, ',')

function duration(seconds: number): string {
  if (seconds < 90) return `${seconds.toFixed(0)} seconds`
  return seconds < 5400 ? `${(seconds / 60).toFixed(0)} minutes` : `${(seconds / 3600).toFixed(1)} hours`
}
