/**
 * The README.md of an exported model: front matter as the Hugging Face hub reads it
 * (https://huggingface.co/docs/hub/model-cards#model-card-metadata), then what was trained, on what, how, and what came out.
 * Everything in it is said by the summary; nothing is looked up or assumed.
 */
import type { Stage } from '@parscale/core/internal/training'
import type { TaskSummary } from './eval-results.ts'
import { code, codeBlock, plain, quoted, table } from './markdown.ts'

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
  readonly stages: readonly (Pick<Stage, 'p' | 'steps' | 'train' | 'schedule' | 'learningRate' | 'finalLearningRate'> & {
    readonly tokens: number
  })[]
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
  /** Figures of benchmarks, where there are some. */
  readonly tasks?: readonly TaskSummary[]
  /** Everything else that decides the result, by its path in the run's configuration. */
  readonly hyperparameters: Readonly<Record<string, string | number | boolean | null>>
  readonly trainingSeconds: number
  /** In words, such as the processor's name. */
  readonly hardware?: string
  readonly limits?: readonly string[]
}

/** The card as the text of README.md. Strings of the summary are shown as they are, whatever they contain. */
export function modelCard(run: RunSummary): string {
  const { base, data, parameters, limits = [] } = run
  const origin = base ? `trained from ${code(base.name)}${base.frozen ? ' (frozen)' : ''}` : 'trained from scratch'
  const streams = parameters.streams > 0 ? `, and ${grouped(parameters.streams)} for ${Math.max(...run.p)} parallel streams` : ''
  const hash = base?.sha256 ? ` Backbone (SHA-256): ${code(base.sha256)}.` : ''
  const hyperparameters = Object.entries(run.hyperparameters).map(([key, value]) => `${key} = ${JSON.stringify(value)}`)
  return `---
${frontMatter(run)}---

# ${plain(run.name)}

A language model with parallel streams ([ParScale](https://arxiv.org/abs/2505.10475)), ${origin} with the recipe ${code(run.recipe)} of parscale ${plain(run.version)}. It has ${grouped(parameters.backbone)} parameters${streams}; P can be ${run.p.join(', ')}.${hash}

## Use

${use(run)}

## Results

${results(run)}

## Training

${codeBlock(run.command, 'sh')}

${stages(run)}

${grouped(run.tokensSeen)} tokens in ${duration(run.trainingSeconds)}${run.hardware === undefined ? '' : ` on ${plain(run.hardware)}`}.

${codeBlock(hyperparameters.join('\n'))}

## Data

${data.files.map((file) => `- ${code(file)}\n`).join('')}
${data.about === undefined ? '' : `${plain(data.about)}\n\n`}${grouped(data.documents)} documents, ${grouped(data.textBytes)} bytes of text: ${grouped(data.trainTokens)} tokens to train on, ${grouped(data.heldOutTokens)} held out, by whole documents. A document that was there twice was taken once, so none is on both sides.

## Limits

- It knows what ${grouped(run.tokensSeen)} tokens of the data above (and its base, if it has one) can teach. It was not tuned to be helpful, truthful or harmless unless the recipe says so, and repeats what its data say.
- Losses are means over held-out documents of the same sources; other text was not measured unless it is listed.
${limits.map((line) => `- ${plain(line)}\n`).join('')}`
}

/** Its keys are fixed, so it is written out; all that comes from outside is quoted. */
function frontMatter({ name, licence, languages = [], recipe, base, data, results: found, tasks = [] }: RunSummary): string {
  const list = (key: string, values: readonly string[]) =>
    values.length > 0 ? `${key}:\n${values.map((value) => `  - ${quoted(value)}\n`).join('')}` : ''
  const only = (key: string, value: string | undefined) => (value === undefined ? '' : `${key}: ${quoted(value)}\n`)
  // The hub takes names of its own only.
  const hubBase = base && /^[\w-][\w.-]*\/[\w-][\w.-]*$/.test(base.name) ? base.name : undefined
  const entries = found.map(
    ({ p, loss, data: other }) => `      -
        task:
          type: "text-generation"
          name: "Next-token prediction"
        dataset:
          name: ${quoted(other ?? `held out of ${data.files.join(', ')}`)}
          type: ${quoted((other === undefined && data.hubNames?.[0]) || 'text')}
        metrics:
          -
            type: "loss"
            name: "nats a token, P = ${p}"
            value: ${loss}
          -
            type: "perplexity"
            name: "perplexity, P = ${p}"
            value: ${Math.exp(loss)}
`,
  )
  entries.push(...tasks.map(taskEntry))
  return [
    'library_name: "parscale"\n',
    only('license', licence) + list('language', languages),
    'pipeline_tag: "text-generation"\n',
    list('tags', ['parscale', 'text-generation', recipe]),
    only('base_model', hubBase) + list('datasets', data.hubNames ?? []),
    entries.length > 0 ? `model-index:\n  -\n    name: ${quoted(name)}\n    results:\n${entries.join('')}` : '',
  ].join('')
}

const taskEntry = ({ p, task, metric, filter, value, fewshot, dataset }: TaskSummary): string => `      -
        task:
          type: "text-generation"
          name: ${quoted(task)}
        dataset:
          name: ${quoted(task)}
          type: ${quoted(dataset.path)}
${Object.entries({ config: dataset.config, split: dataset.split, revision: dataset.revision })
  .map(([key, text]) => (text === undefined ? '' : `          ${key}: ${quoted(text)}\n`))
  .join('')}        metrics:
          -
            type: ${quoted(metric)}
            name: ${quoted(`${metric}${filter === 'none' ? '' : `, ${filter}`}, ${fewshot}-shot, P = ${p}`)}
            value: ${value}
`

function use({ base, p, streamsOnly }: RunSummary): string {
  const chosen = Math.max(...p) > 1 ? ` --p ${Math.max(...p)}` : ''
  // A name that a shell would cut or act on is not written into a command.
  const backbone = base && /^[\w./-]+$/.test(base.name) ? base.name : 'BACKBONE'
  const model = streamsOnly ? `${backbone} --stream-set .` : '.'
  const command = codeBlock(`npx parscale generate ${model}${chosen} --prompt "Once upon a time"`, 'sh')
  return streamsOnly
    ? `This folder holds streams only; they run on the backbone that they were trained on, and on no other.\n\n${command}`
    : command
}

function results(run: RunSummary): string {
  const tables = [
    ...(run.results.length > 0 || !run.tasks?.length ? [losses(run)] : []),
    ...(run.tasks?.length ? [tasks(run.tasks)] : []),
  ]
  return tables.join('\n\n')
}

function tasks(list: readonly TaskSummary[]): string {
  const rows = list.map(({ p, task, metric, filter, value, standardError, higherIsBetter, fewshot, questions }) => [
    plain(task),
    String(p),
    `${plain(metric)} ${higherIsBetter ? '↑' : '↓'}`,
    filter === 'none' ? '' : plain(filter),
    String(fewshot),
    value.toFixed(4),
    standardError === undefined ? '' : standardError.toFixed(4),
    grouped(questions),
  ])
  return table(['task', 'P', 'metric', 'filter', 'examples', 'value', 'standard error', 'questions'], rows)
}

function losses({ results: found }: RunSummary): string {
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

function stages(run: RunSummary): string {
  const rate = (x: number) => String(Number(x.toPrecision(6))) // without the noise of the last bits
  const rows = run.stages.map(({ p, steps, tokens, train, schedule, learningRate, finalLearningRate }, i) => [
    ...[String(i + 1), String(p), grouped(steps), grouped(tokens), train === 'all' ? 'all weights' : 'streams'],
    ...[plain(schedule), `${rate(learningRate)} to ${rate(finalLearningRate)}`],
  ])
  return table(['stage', 'P', 'steps', 'tokens', 'trained', 'schedule', 'learning rate'], rows)
}

/** 1234567 as 1,234,567. */
const grouped = (count: number): string => count.toLocaleString('en')

function duration(seconds: number): string {
  if (seconds < 90) return `${seconds.toFixed(0)} seconds`
  return seconds < 5400 ? `${(seconds / 60).toFixed(0)} minutes` : `${(seconds / 3600).toFixed(1)} hours`
}
