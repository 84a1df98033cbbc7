/** Options that several commands share, and how their values are read. */
import { InvalidArgumentError, Option } from '@commander-js/extra-typings'
import { isParscaleError, usageError } from '@parscale/core'
import { type DecoderOptions, validateSampling } from '@parscale/core/generation'
import { kvTypes } from '@parscale/core/model'
import { type ChosenEngine, engineChoices } from '../load/decode-engine.ts'
import type { LoadOptions } from '../load/load.ts'
import type { Io } from '../terminal/io.ts'

/** Collects a repeated option. */
export const collect = (value: string, list: string[] = []): string[] => [...list, value]

export function integer(least: number) {
  return (text: string): number => {
    const value = Number(text)
    if (!/^-?\d+$/.test(text) || !Number.isSafeInteger(value) || value < least)
      throw new InvalidArgumentError(`it must be a whole number of at least ${least}.`)
    return value
  }
}

export function number(text: string): number {
  const value = Number(text)
  if (text.trim() === '' || !Number.isFinite(value)) throw new InvalidArgumentError('it must be a number.')
  return value
}

export const deviceOption = new Option('--device <device>', 'where to compute')
  .choices(['cpu', 'webgpu', 'cuda'] as const)
  .default('cpu' as const)
export const threadsOption = new Option('--threads <n>', 'CPU threads (default: one per physical core)').argParser(integer(1))
export const pOption = new Option(
  '--p <streams>',
  "streams to run, 1 is the plain backbone (default: the model's largest)",
).argParser(integer(1))
export const streamSetOption = new Option(
  '--stream-set <model>',
  'a further stream set for the same backbone, with another P; may be repeated',
).argParser(collect)

export const bitsOption = () =>
  new Option('--bits <bits>', 'weights in 8 or 4 bits, quantised once and kept in the cache').argParser(bits)

function bits(text: string): 8 | 4 {
  if (text !== '8' && text !== '4') throw new InvalidArgumentError('it must be 8 or 4.')
  return Number(text) as 8 | 4
}

export const kvOption = new Option(
  '--kv <type>',
  'how keys and values are stored: f32, f16 (half the memory) or int8 (a quarter) (default: f32)',
).choices(kvTypes)

export const engineOption = new Option(
  '--engine <engine>',
  "native: this package's own step for CPUs; onnx: ONNX Runtime; auto: native where it can run",
)
  .choices(engineChoices)
  .default('auto' as const)

/** What every command that runs a model asks: which streams, and where. */
export const modelOptions = [pOption, streamSetOption, bitsOption(), kvOption, engineOption, deviceOption, threadsOption] as const

export interface ModelFlags extends Pick<LoadOptions, 'p' | 'bits' | 'engine' | keyof DecoderOptions> {
  readonly streamSet?: string[]
  readonly json?: true
}

/** Options of the library from those of the command line, with progress on the terminal. */
export function loadOptions(io: Io, options: Omit<ModelFlags, 'json'>, contextTokens?: number): LoadOptions {
  return {
    ...options,
    streamSets: options.streamSet,
    contextTokens,
    env: io.env,
    signal: io.signal,
    onUnpack: shown(io, 'unpacking GGUF'),
    onQuantise: shown(io, 'quantising'),
    onPack: shown(io, 'packing for the native step'),
    onWait: (_, who) => io.stderr(`${who} is writing a model into the cache; waiting for it\n`),
    onEngine: (chosen) => sayFallback(io, options, chosen),
  }
}

/** One line where ONNX Runtime runs on the CPU and nobody asked for it. */
function sayFallback(io: Io, { engine = 'auto', device = 'cpu' }: Omit<ModelFlags, 'json'>, chosen: ChosenEngine): void {
  if (engine === 'auto' && device === 'cpu' && chosen.engine === 'onnx') io.stderr(`running on ONNX Runtime: ${chosen.why}\n`)
}

/** Draws what is written, until all of it is. */
function shown(io: Io, label: string): NonNullable<LoadOptions['onUnpack']> {
  const progress = io.progress(label, 'B')
  return ({ doneBytes, totalBytes }) => {
    progress.update(doneBytes, totalBytes)
    if (doneBytes === totalBytes) progress.end()
  }
}

/** No text has more tokens than this: a token is at least one byte, and another five may open and close the text. */
export const longestInTokens = (text: string): number => Buffer.byteLength(text) + 5

/** The options of sampling, on `generate` and `chat` alike. */
export const samplingOptions = [
  new Option('--max-tokens <n>', 'longest answer in tokens').argParser(integer(1)).default(256),
  new Option('--temperature <t>', '0 is greedy, 1 the model as trained').argParser(number).default(0.7),
  new Option('--top-k <k>', 'sample from the k most probable tokens').argParser(integer(1)),
  new Option('--top-p <p>', 'sample from the smallest set with this probability').argParser(number),
  new Option('--min-p <p>', 'drop tokens below this share of the best one').argParser(number),
  new Option('--repetition-penalty <x>', 'above 1 discourages what was said before').argParser(number),
  new Option('--presence-penalty <x>', 'subtracted once from tokens that were generated').argParser(number),
  new Option('--frequency-penalty <x>', 'subtracted for each time a token was generated').argParser(number),
  new Option('--logit-bias <id=bias>', 'added to the logit of a token, -inf bans it; may be repeated').argParser(collectBias),
  new Option('--seed <n>', 'same seed, same text (default: a new one each time)').argParser(integer(0)),
  new Option('--stop <text>', 'end before this text; may be repeated').argParser(collectStop),
  new Option('--allow-special', 'recognise special tokens spelled in the text'),
] as const

export interface SamplingFlags {
  readonly maxTokens: number
  readonly temperature: number
  readonly topK?: number
  readonly topP?: number
  readonly minP?: number
  readonly repetitionPenalty?: number
  readonly presencePenalty?: number
  readonly frequencyPenalty?: number
  readonly logitBias?: ReadonlyMap<number, number>
  readonly seed?: number
  readonly stop?: string[]
  readonly allowSpecial?: true
}

/** Adds a list of options, whose typed values are then read as `Flags`. */
export function addOptions<C extends { addOption(option: Option): unknown }>(command: C, options: readonly Option[]): C {
  for (const option of options) command.addOption(option)
  return command
}

/** Options of the library from the sampling flags. A seed is drawn where none is given, so that it can be reported. */
export function textOptions(flags: SamplingFlags, signal: AbortSignal) {
  return {
    maxTokens: flags.maxTokens,
    temperature: flags.temperature,
    topK: flags.topK,
    topP: flags.topP,
    minP: flags.minP,
    repetitionPenalty: flags.repetitionPenalty,
    presencePenalty: flags.presencePenalty,
    frequencyPenalty: flags.frequencyPenalty,
    logitBias: flags.logitBias,
    seed: flags.seed ?? Math.floor(Math.random() * 2 ** 32),
    stop: flags.stop,
    allowSpecial: flags.allowSpecial,
    signal,
  }
}

/** Refuses values out of range before anything is loaded, by the names that the command line has for them. */
export function checkSampling(flags: SamplingFlags): void {
  try {
    validateSampling(textOptions(flags, new AbortController().signal))
  } catch (error) {
    if (!isParscaleError(error) || error.facts.flag === undefined) throw error
    const flag = `--${error.facts.flag.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`
    throw usageError(error.message.replace(error.facts.flag, flag), { ...error.facts, flag })
  }
}

function collectStop(text: string, stops?: string[]): string[] {
  if (text === '') throw new InvalidArgumentError('it must not be empty.')
  return collect(text, stops)
}

function collectBias(text: string, biases: ReadonlyMap<number, number> = new Map()): Map<number, number> {
  const [, id, bias] = /^(\d+)=(.+)$/.exec(text) ?? []
  const value = bias === '-inf' ? -Infinity : Number(bias)
  if (id === undefined || Number.isNaN(value)) throw new InvalidArgumentError('it must be ID=BIAS, such as 42=-5 or 42=-inf.')
  return new Map([...biases, [Number(id), value]])
}
