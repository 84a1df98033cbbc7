/** Options that several commands share, and how their values are read. A builder adds a group of them to a command, whose type then knows their values. */
import { type Command, InvalidArgumentError, Option, type OptionValues } from '@commander-js/extra-typings'
import { isParscaleError, usageError } from '@parscale/core/internal'
import { validateSampling } from '@parscale/core/internal/generation'
import { kvTypes } from '@parscale/core/internal/model'
import { checkInBackground } from '@parscale/core/internal/node/disk'
import { devices } from '@parscale/core/internal/runtime'
import { type ChosenEngine, engineChoices, unkeptLine } from '../load/decode-engine.ts'
import type { LoadOptions } from '../load/load.ts'
import { weightBits } from '../load/precision.ts'
import { fetchingOf } from '../storage/fetching.ts'
import type { Io } from '../terminal/io.ts'

/** What a builder's command makes of its command line. */
export type FlagsOf<Builder extends (command: Command) => { opts(): OptionValues }> = ReturnType<ReturnType<Builder>['opts']>

/**
 * Makes a builder of options one for any command, whose type then knows their values as well.
 * Written as a generic chain, commander's inference takes minutes: each option doubles a type that stays open.
 */
export const forAnyCommand =
  <Flags extends OptionValues>(build: (command: Command) => Command<[], Flags>) =>
  <Args extends unknown[], Before extends OptionValues, Global extends OptionValues>(command: Command<Args, Before, Global>) =>
    build(command as unknown as Command) as unknown as Command<Args, Before & Flags, Global>

/** Collects a repeated option. */
export const collect = (value: string, list: string[] = []): string[] => [...list, value]

export function integer(least: number, most?: number) {
  return (text: string): number => {
    const value = Number(text)
    if (!/^-?\d+$/.test(text) || !Number.isSafeInteger(value) || value < least || value > (most ?? value))
      throw new InvalidArgumentError(
        `it must be a whole number ${most === undefined ? `of at least ${least}` : `from ${least} to ${most}`}.`,
      )
    return value
  }
}

export function number(text: string): number {
  const value = Number(text)
  if (text.trim() === '' || !Number.isFinite(value)) throw new InvalidArgumentError('it must be a number.')
  return value
}

export function seconds(text: string): number {
  const value = number(text)
  // Node's timers know no more than 24 days, and take longer ones for none.
  if (value < 0 || value > 2_000_000) throw new InvalidArgumentError('it must be a number of seconds from 0 to 2000000.')
  return value
}

/** One of a few values. */
export const oneOf =
  <const T extends string | number>(choices: readonly T[]) =>
  (text: string): T => {
    const found = choices.find((choice) => String(choice) === text)
    if (found !== undefined) return found
    throw new InvalidArgumentError(`it must be ${choices.slice(0, -1).join(', ')} or ${choices.at(-1)}.`)
  }

/** Values separated by commas. */
export const list =
  <T>(parse: (text: string) => T) =>
  (text: string): T[] =>
    text.split(',').map((part) => parse(part.trim()))

export const deviceOption = new Option('--device <device>', 'where to compute')
  .choices(devices)
  .default('cpu' as const)
  .env('PARSCALE_DEVICE')
export const threadsOption = new Option('--threads <n>', 'CPU threads (default: one per physical core)')
  .argParser(integer(1))
  .env('PARSCALE_THREADS')
export const pOption = new Option(
  '--p <streams>',
  "streams to run, 1 is the plain backbone (default: the model's largest)",
).argParser(integer(1))
export const streamSetOption = new Option(
  '--stream-set <model>',
  "a further stream set for the same backbone; takes the place of the model's own with its P; may be repeated",
).argParser(collect)

export const bitsOption = () =>
  new Option(
    '--bits <bits>',
    'weights in 8 or 4 bits, made once and kept in the cache, or 32: as floats (default: as they are stored)',
  ).argParser(oneOf(weightBits))

export const engineOption = new Option(
  '--engine <engine>',
  "native: this package's own step for CPUs; onnx: ONNX Runtime; auto: native where it can run",
)
  .choices(engineChoices)
  .default('auto' as const)
  .env('PARSCALE_ENGINE')

const modelOptions = (command: Command) =>
  command
    .addOption(pOption)
    .addOption(streamSetOption)
    .addOption(bitsOption())
    .addOption(
      new Option(
        '--kv <type>',
        'how keys and values are stored: f32, f16 (half the memory) or int8 (a quarter) (default: f32)',
      ).choices(kvTypes),
    )
    .addOption(engineOption)
    .addOption(deviceOption)
    .addOption(threadsOption)

/** What every command that runs a model asks: which streams, and where. */
export const withModel = forAnyCommand(modelOptions)
type ModelFlags = Partial<FlagsOf<typeof modelOptions>>

/** Options of the library from those of the command line, with progress on the terminal. */
export function loadOptions(io: Io, flags: ModelFlags, contextTokens?: number): LoadOptions {
  const { streamSet: streamSets, p, bits, kv, engine, device, threads } = flags
  return {
    ...{ streamSets, p, bits, kv, engine, device, threads, contextTokens },
    env: io.env,
    signal: io.signal,
    onDownload: fetchingOf(io).onDownload,
    onUnpack: shown(io, 'unpacking GGUF'),
    onQuantise: shown(io, 'quantising'),
    onPack: shown(io, 'packing for the native step'),
    onUnkept: (reason) => io.stderr(unkeptLine(reason)),
    onWait: (_, who) => io.stderr(`${who} is writing a model into the cache; waiting for it\n`),
    onEngine: (chosen) => {
      io.detail?.(`engine: ${chosen.engine} (${chosen.why})\n`)
      sayFallback(io, flags, chosen)
    },
    onFound: (folder) => io.background?.((signal) => checkInBackground(folder, signal)),
  }
}

/** One line where ONNX Runtime runs on the CPU and nobody asked for it. */
function sayFallback(io: Io, { engine = 'auto', device = 'cpu' }: ModelFlags, chosen: ChosenEngine): void {
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

const samplingOptions = (command: Command) =>
  command
    .addOption(new Option('--max-tokens <n>', 'longest answer in tokens').argParser(integer(1)).default(256))
    .addOption(new Option('--temperature <t>', '0 is greedy, 1 the model as trained').argParser(number).default(0.7))
    .addOption(new Option('--top-k <k>', 'sample from the k most probable tokens').argParser(integer(1)))
    .addOption(new Option('--top-p <p>', 'sample from the smallest set with this probability').argParser(number))
    .addOption(new Option('--min-p <p>', 'drop tokens below this share of the best one').argParser(number))
    .addOption(new Option('--repetition-penalty <x>', 'above 1 discourages what was said before').argParser(number))
    .addOption(new Option('--presence-penalty <x>', 'subtracted once from tokens that were generated').argParser(number))
    .addOption(new Option('--frequency-penalty <x>', 'subtracted for each time a token was generated').argParser(number))
    .addOption(
      new Option('--logit-bias <id=bias>', 'added to the logit of a token, -inf bans it; may be repeated').argParser(collectBias),
    )
    .addOption(new Option('--seed <n>', 'same seed, same text (default: a new one each time)').argParser(integer(0)))
    .addOption(new Option('--stop <text>', 'end before this text; may be repeated').argParser(collectStop))
    .addOption(new Option('--allow-special', 'recognise special tokens spelled in the text'))

/** The options of sampling, on `generate` and `chat` alike. Their names are the library's (TextOptions). */
export const withSampling = forAnyCommand(samplingOptions)
export type SamplingFlags = FlagsOf<typeof samplingOptions>

/** Options of the library from the sampling flags. A seed is drawn where none is given, so that it can be reported. */
export const textOptions = <F extends SamplingFlags>(flags: F, signal: AbortSignal) => ({
  ...flags,
  seed: flags.seed ?? Math.floor(Math.random() * 2 ** 32),
  signal,
})

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
