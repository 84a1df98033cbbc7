/** The flags of `parscale train`: which value of the configuration each one sets. */
import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { Command, InvalidArgumentError, Option, type OptionValues } from '@commander-js/extra-typings'
import { isParscaleError, type ParscaleError, usageError } from '@parscale/core/internal'
import { type ParscaleConfig, type StreamInput, streamInputs } from '@parscale/core/internal/model'
import {
  needsBase,
  parseRunConfig,
  type RecipeName,
  type RecipeOptions,
  type RunConfig,
  recipes,
  runConfigSchema,
  safeParse,
  unusedKeys,
} from '@parscale/core/internal/training'
import { isStorageName } from '../storage/address.ts'
import { countArgument } from '../terminal/quantity.ts'
import { collect, type FlagsOf, forAnyCommand, integer, number } from './options.ts'
import { applySettings, parseSetting, type Setting } from './settings.ts'

const choice = (flags: string, help: string, choices: readonly string[]) => new Option(flags, help).choices(choices)
const whole = (flags: string, help: string, least = 1) => new Option(flags, help).argParser(integer(least))
const real = (flags: string, help: string) => new Option(flags, help).argParser(number)

const {
  stages: {
    element: { shape: stage },
  },
  streams: { shape: streams },
  data: { shape: data },
} = runConfigSchema.shape

const isKind = (name: string): name is StreamInput => streamInputs.some((kind) => kind === name)

/** `scales,norms` */
function kinds(text: string): StreamInput[] {
  const names = text.split(',')
  if (names.every(isKind)) return names
  const strange = names.find((name) => !isKind(name))
  throw new InvalidArgumentError(`"${strange}" is none of ${streamInputs.join(', ')}; several are joined by commas.`)
}

/** What a shell makes hard to type. */
const unescaped = (text: string): string => text.replaceAll('\\n', '\n').replaceAll('\\t', '\t')

/** What a recipe is scaled by, before the rest has defaults. */
export const withRecipe = forAnyCommand((command) =>
  command
    .addOption(
      new Option('--data <path>', 'file, folder or pattern to train on, here or s3://; may be repeated').argParser(collect),
    )
    .option('--model <model>', 'model to start from: folder, .gguf file, ORG/NAME or s3://BUCKET/KEY')
    .addOption(new Option('--p <streams>', 'P, parallel streams').argParser(integer(1)))
    .addOption(new Option('--steps <n>', 'steps (two-stage: of the first stage)').argParser(integer(1)))
    .addOption(new Option('--train-tokens <n>', 'the same in tokens, such as 2M').argParser(countArgument).conflicts('steps'))
    .addOption(new Option('--second-steps <n>', 'two-stage: steps with streams').argParser(integer(1)))
    .addOption(new Option('--learning-rate <rate>', 'the highest rate').argParser(number))
    .addOption(new Option('--seed <n>', 'of initial values and the order of data').argParser(integer(0))),
)

/** Those that set one value, with its path. `stages.*` stands for all stages. */
const valueOptions: readonly (readonly [path: string, option: Option])[] = [
  ['stages.*.train', choice('--train <what>', 'what learns', stage.train.options)],
  ['stages.*.schedule', choice('--schedule <kind>', 'of the learning rate', stage.schedule.options)],
  ['stages.*.warmupSteps', whole('--warmup-steps <n>', 'steps in which the rate rises', 0)],
  ['stages.*.finalLearningRate', real('--final-learning-rate <rate>', 'the rate at the end')],
  ['stages.*.decaySteps', whole('--decay-steps <n>', 'schedule wsd: steps in which the rate falls', 0)],
  ['batch.sequences', whole('--batch-size <n>', 'sequences in one pass')],
  ['batch.tokens', whole('--sequence-length <n>', 'tokens in a sequence')],
  ['batch.microBatches', whole('--micro-batches <n>', 'passes that make up one step')],
  ['optimizer.aggregatorRate', real('--aggregator-rate <share>', "the aggregator's learning rate, as a share of the backbone's")],
  ['optimizer.streamRate', real('--stream-rate <share>', "the rate of what makes streams differ, as a share of the backbone's")],
  ['aids.dropout', real('--dropout <rate>', 'share of what each layer adds that is left out while training')],
  ['aids.balance', real('--balance <weight>', 'of a term against giving one stream everything')],
  ['aids.decorrelate', real('--decorrelate <weight>', "of a term that makes the streams' hidden states differ")],
  ['aids.ownLoss', real('--own-loss <share>', 'share of the mean of the losses that each stream has alone')],
  ['aids.dropStreams', real('--drop-streams <rate>', 'probability that a stream is left out of a sequence')],
  [
    'aids.nestStreams',
    real('--nest-streams <rate>', 'probability that a sequence has its first streams only, so that P can be chosen later'),
  ],
  [
    'aids.domainStreams',
    real('--domain-streams <rate>', 'probability that a sequence is left to the stream of its kind of text'),
  ],
  ['optimizer.weightDecay', real('--weight-decay <x>', 'of matrices')],
  [
    'optimizer.maxGradNorm',
    real('--clip <norm>', 'largest global norm of the gradient (none: --set optimizer.maxGradNorm=null)'),
  ],
  ['optimizer.skipSpikes', real('--skip-spikes <x>', 'leave out steps whose loss is x standard deviations too high')],
  [
    'streams.input',
    new Option('--streams <kinds>', `what makes streams differ, one or several: ${streamInputs.join(', ')}`).argParser(kinds),
  ],
  ['streams.prefixTokens', whole('--prefix-tokens <n>', 'length of the prefixes')],
  ['streams.prefixMlp', whole('--prefix-mlp <width>', 'make prefixes by a network while training; merged on export')],
  ['streams.inputAtOne', new Option('--input-at-one', 'P = 1 with a learned input, as a control')],
  ['streams.reset', new Option('--reset-streams', "draw the streams' parameters anew though the model has some")],
  ['streams.gate', new Option('--prefix-gate', 'a learned gate on each prefix')],
  ['streams.loraRank', whole('--stream-rank <n>', 'rank of --streams lora')],
  [
    'streams.ownWindow',
    whole(
      '--own-window <n>',
      "last tokens of which a stream attends to its own keys and values; further back to the first one's",
    ),
  ],
  ['streams.aggregation', choice('--aggregation <kind>', 'how streams are weighed', streams.aggregation.options)],
  ['streams.merge', choice('--merge <what>', 'what of the streams is mixed', streams.merge.unwrap().options)],
  ['streams.smoothing', real('--smoothing <e>', "share of the aggregation's weights that is even")],
  ['streams.finalSmoothing', real('--final-smoothing <e>', 'smoothing at the end, reached straight over the run')],
  ['streams.init', choice('--init <kind>', 'of new parameters', streams.init.options)],
  ['shape.hiddenSize', whole('--hidden-size <n>', 'fresh model: width')],
  ['shape.intermediateSize', whole('--intermediate-size <n>', 'fresh model: width of the MLP')],
  ['shape.numHiddenLayers', whole('--layers <n>', 'fresh model: layers')],
  ['shape.numAttentionHeads', whole('--heads <n>', 'fresh model: query heads')],
  ['shape.numKeyValueHeads', whole('--kv-heads <n>', 'fresh model: key/value heads')],
  ['shape.headDim', whole('--head-dim <n>', 'fresh model: size of a head')],
  ['tokenizer', new Option('--tokenizer <folder>', 'folder with tokenizer.json (default: of the model, or trained on the data)')],
  ['vocabSize', whole('--vocab-size <n>', 'of a tokenizer trained on the data')],
  ['data.field', new Option('--field <name>', 'field of JSON lines or Parquet that holds the text')],
  ['data.separator', new Option('--separator <text>', 'cuts text files into documents; \\n is a new line').argParser(unescaped)],
  ['data.skipBad', new Option('--skip-bad', 'leave out documents that cannot be read')],
  ['data.chat', new Option('--chat', "data are conversations; learn the assistant's turns")],
  ['data.heldOutFraction', real('--held-out <share>', 'share of documents kept to measure on')],
  ['data.packing', choice('--packing <kind>', 'how documents become sequences', data.packing.options)],
  ['data.crossDocuments', new Option('--cross-documents', 'let tokens attend to earlier documents')],
  [
    'evaluation.every',
    whole('--evaluate-every <n>', 'steps between evaluations; 0: at the beginning, the end and where stages meet', 0),
  ],
  ['evaluation.sequences', whole('--evaluate-sequences <n>', 'held-out sequences to evaluate on while training')],
  ['sample.prompt', new Option('--prompt <text>', 'what the generated samples begin with')],
  ['checkpoint.every', whole('--checkpoint-every <n>', 'steps between checkpoints; 0: at the end and where stages meet', 0)],
  ['checkpoint.keep', whole('--keep <n>', 'checkpoints to keep, beside the best')],
  ['logEvery', whole('--log-every <n>', 'steps between lines of the log')],
]

/** Options that override a recipe's values. They are a table, so their values are read by name. */
export const withValues = forAnyCommand((command) => {
  for (const [, option] of valueOptions) command.addOption(option)
  return command.addOption(
    new Option('--set <key=value>', 'any other value of the configuration; may be repeated').argParser(collect),
  )
})

const withConfig = (command: Command) => withValues(withRecipe(command))
export const configOptions = withConfig(new Command()).options
export type ConfigFlags = FlagsOf<typeof withConfig> & OptionValues

/** Called for each key that a flag or --set has set: with why it does nothing in this run, undefined where it does something. */
export type OnGiven = (given: Pick<Setting, 'path' | 'flag'>, unused: ParscaleError | undefined) => void

const refuseUnused: OnGiven = (_, unused) => {
  if (unused) throw unused
}

/**
 * The resolved configuration of a recipe and the flags given.
 *
 * @param base streams of the model that `--model` names
 * @param onGiven where it does not throw what does nothing, the run goes on without. Default: throws
 * @throws usage error naming the flag or key
 */
export function configOf(
  recipe: RecipeName,
  flags: ConfigFlags,
  base?: ParscaleConfig,
  onGiven: OnGiven = refuseUnused,
): RunConfig {
  const data = flags.data ?? []
  if (data.length === 0)
    throw usageError(`train ${recipe}: there is nothing to train on; name files with --data`, { flag: 'data' })
  if (needsBase(recipe) && flags.model === undefined) {
    throw usageError(`train ${recipe}: starts from a model; name it with --model`, { flag: 'model' })
  }
  const recipeOptions: RecipeOptions = {
    data,
    base: flags.model,
    // Tuning leaves a model's number of streams as it is.
    p: flags.p ?? (recipe === 'sft' ? base?.n : undefined),
    steps: flags.steps,
    secondSteps: flags.secondSteps,
    learningRate: flags.learningRate,
    seed: flags.seed,
    shape: { hiddenSize: size(flags, 'hiddenSize'), numAttentionHeads: size(flags, 'heads'), headDim: size(flags, 'headDim') },
    input: streams.input.optional().parse(flags.streams),
    aggregation: streams.aggregation.optional().parse(flags.aggregation),
  }
  if (flags.secondSteps !== undefined && recipe !== 'two-stage')
    throw usageError(`train ${recipe}: has no second stage; leave out --second-steps, or take two-stage`, {
      flag: 'second-steps',
    })
  try {
    return parsedConfig(recipe, flags, recipeOptions, base, onGiven)
  } catch (error) {
    throw withFlag(error)
  }
}

/** One of valueOptions, whose types are not known here. */
function size(flags: OptionValues, name: string): number | undefined {
  const value: unknown = flags[name]
  return typeof value === 'number' ? value : undefined
}

function parsedConfig(
  recipe: RecipeName,
  flags: ConfigFlags,
  given: RecipeOptions,
  base: ParscaleConfig | undefined,
  onGiven: OnGiven,
): RunConfig {
  const { p } = recipes[recipe](given).stages.at(-1)!
  // How streams begin depends on what they are, by flags or as the model has them.
  const taken = continues(base, p) ? base : undefined
  const recipeOptions = {
    ...given,
    input: given.input ?? taken?.input,
    aggregation: given.aggregation ?? taken?.aggregation,
  }
  const ofModel = streamsOf(base, p, given.input)
  const asked = [...valueSettings(flags, recipes[recipe](recipeOptions)), ...(flags.set ?? []).map(parseSetting)]
  const resolved = (options: RecipeOptions) => applySettings(recipes[recipe](options), [...ofModel, ...asked])
  const steps = flags.trainTokens === undefined ? recipeOptions.steps : stepsOf(flags.trainTokens, resolved(recipeOptions).batch)
  const whole = { ...recipeOptions, steps }
  const used = usedSettings(recipe, asked, resolved(whole), base, onGiven)
  return withAbsolutePaths(parseRunConfig(applySettings(recipes[recipe](whole), [...ofModel, ...used]), `train ${recipe}`))
}

/** Without those with which the run would be refused though they do nothing in it. Other unused values stay: they are part of saved runs. */
function usedSettings(
  recipe: RecipeName,
  asked: readonly Setting[],
  config: unknown,
  base: ParscaleConfig | undefined,
  onGiven: OnGiven,
): readonly Setting[] {
  const parsed = safeParse(runConfigSchema, config)
  // What is wrong with it is said where all is.
  if (!parsed.success) return asked
  const unused = new Map(unusedKeys(parsed.data, base).map((each) => [each.key, each]))
  for (const setting of asked) {
    const { path } = setting
    const idle = unused.get(path)
    onGiven(setting, idle && asUnused(recipe, path, idle.why))
  }
  return asked.filter(({ path }) => !unused.get(path)?.refused)
}

const asUnused = (recipe: RecipeName, key: string, why: string): ParscaleError =>
  withFlag(usageError(`train ${recipe}: ${key}: ${why}`, { flag: key })) as ParscaleError

/** @param batch as it is before it is checked; what is wrong with it is said where all is */
function stepsOf(tokens: number, batch: unknown): number | undefined {
  const parsed = runConfigSchema.shape.batch.safeParse(batch)
  if (!parsed.success) return undefined
  const { sequences, tokens: length, microBatches } = parsed.data
  return Math.ceil(tokens / (sequences * length * microBatches))
}

const continues = (base: ParscaleConfig | undefined, p: number): base is ParscaleConfig =>
  base !== undefined && base.n > 1 && p <= base.n

/** Where a model has P streams and as many are trained, or fewer, they go on as they are made, unless a flag says otherwise. */
function streamsOf(base: ParscaleConfig | undefined, p: number, asked: RecipeOptions['input']): Setting[] {
  if (!continues(base, p)) return []
  const { input, nTokens, gate, loraRank, ownWindow, aggregation, merge, attnSmooth } = base
  const values = {
    input,
    // A flag for other kinds leaves no prefix to gate.
    gate: gate && (asked ?? input).includes('prefix'),
    ownWindow,
    aggregation,
    merge,
    ...(input.includes('prefix') && { prefixTokens: nTokens }),
    ...(input.includes('lora') && { loraRank }),
    ...(aggregation !== 'average' && { smoothing: attnSmooth }),
  }
  return Object.entries(values).map(([key, value]) => ({ path: `streams.${key}`, value, flag: '--model' }))
}

/** The keys that recipes set from their own options. */
const recipeKeys: readonly (readonly [path: string, flag: string])[] = [
  ['base', '--model'],
  ['stages.*.p', '--p'],
  ['stages.*.steps', '--steps'],
  ['stages.*.learningRate', '--learning-rate'],
  ['seed', '--seed'],
  ['data.files', '--data'],
]

/** Names the flag beside the key that is wrong. */
function withFlag(error: unknown): unknown {
  if (!isParscaleError(error) || error.facts.flag === undefined) return error
  const key = error.facts.flag
  const path = key.replace(/^stages\.\d+/, 'stages.*')
  const [, flag] =
    [...recipeKeys, ...valueOptions.map(([path, { long }]) => [path, long] as const)].find(([each]) => each === path) ?? []
  const named = `${flag} (${key})`
  return flag && !error.message.includes(named) ? usageError(error.message.replace(key, named), error.facts) : error
}

/** Paths that mean the same from any folder, as the run may be resumed elsewhere; a model of the hub keeps its name, as does what lies at storage. */
const withAbsolutePaths = (config: RunConfig): RunConfig => ({
  ...config,
  base: config.base !== null && existsSync(config.base) ? resolve(config.base) : config.base,
  tokenizer: config.tokenizer === null ? null : absolute(config.tokenizer),
  data: { ...config.data, files: config.data.files.map(absolute) },
})

const absolute = (name: string): string => (isStorageName(name) ? name : resolve(name))

function valueSettings(flags: OptionValues, config: RunConfig): Setting[] {
  return valueOptions.flatMap(([path, option]) => {
    const value = flags[option.attributeName()]
    if (value === undefined) return []
    if (config.shape === null && path.startsWith('shape.'))
      throw usageError(`${option.long}: the model that --model names has its own shape; leave it out`, { flag: option.long! })
    const flag = option.long!
    const paths = path.includes('*') ? config.stages.map((_, i) => path.replace('*', String(i))) : [path]
    return paths.map((each) => ({ path: each, value, flag }))
  })
}
