/** `parscale generate`: continues a prompt; text on stdout as it comes. */
import process from 'node:process'
import { Command, Option } from '@commander-js/extra-typings'
import { usageError } from '@parscale/core/internal'
import type { TextModel, TextResult, TextToken } from '@parscale/core/internal/generation'
import { resolveModel, shippedModel } from '../load/find-model.ts'
import { loadTextModel } from '../load/load.ts'
import { fetchingOf } from '../storage/fetching.ts'
import { forTerminal, type Io } from '../terminal/io.ts'
import { counted } from '../terminal/quantity.ts'
import { streamBlocks, streamLegend } from '../terminal/stream-colors.ts'
import {
  checkSampling,
  collect,
  type FlagsOf,
  integer,
  loadOptions,
  longestInTokens,
  textOptions,
  withModel,
  withSampling,
} from './options.ts'
import { readStandardInput, readTextFile } from './text-input.ts'

const examples = `
Examples:
  parscale generate --prompt "Once upon a time" --p 4
  parscale generate ./SmolLM2.gguf --prompt "The capital of France is" --max-tokens 32 --temperature 0
  parscale generate ParScale/ParScale-1.8B-P8 --prompt "def fib(n):" --stop $'\\ndef' --seed 7 --json
  parscale generate ./model --prompt "One" --prompt "Two"            (two prompts, computed together)
  cat prompt.txt | parscale generate ./model --beams 4

MODEL is a folder, a .gguf file or a model of the hub that was pulled; without it, the small model that ships.`

/** Beam search is deterministic, and its texts are not shown token by token: of the sampling options it has these. */
const ofBeams: readonly string[] = ['maxTokens', 'allowSpecial']
const notWithBeams = ['streams', ...withSampling(new Command()).options.map((option) => option.attributeName())].filter(
  (name) => !ofBeams.includes(name),
)

const withOptions = (command: Command) =>
  withModel(
    withSampling(
      command
        .argument('[model]', 'folder, .gguf file, ORG/NAME or s3://BUCKET/KEY')
        .addOption(
          new Option('--prompt <text>', 'the text to continue; may be repeated (default: standard input)').argParser(collect),
        )
        .option('--file <path>', 'read the prompt from a file; - is standard input'),
    )
      .addOption(
        new Option('--beams <n>', 'beam search with so many beams instead of sampling')
          .argParser(integer(1))
          .conflicts(notWithBeams),
      )
      .option('--streams', "show each stream's weight in each token"),
  ).option('--json', 'print the result as JSON')

type Flags = FlagsOf<typeof withOptions>

export function register(command: Command, io: Io): void {
  withOptions(command)
    .addHelpText('after', examples)
    .action(async (model, flags) => {
      checkSampling(flags)
      await resolveModel(model, io.env, fetchingOf(io)) // before standard input is waited for: a text may stand where the model should
      const prompts = await readPrompts(flags)
      const contextTokens = prompts.reduce((sum, prompt) => sum + longestInTokens(prompt) + flags.maxTokens, 0)
      const text = await loadTextModel(model, loadOptions(io, flags, contextTokens))
      try {
        if (model === undefined) io.stderr(`model: ${shippedModel} (small, trained on public prose: for trying things out)\n`)
        await generate(text, prompts, flags, io)
      } finally {
        await text.dispose()
      }
    })
}

async function readPrompts(flags: Flags): Promise<string[]> {
  const given = [...(flags.prompt ?? []), ...(flags.file === undefined ? [] : [await readTextFile(flags.file)])]
  if (given.length > 0) return given
  if (process.stdin.isTTY) throw usageError('there is no prompt; give --prompt TEXT, --file PATH, or pipe text in')
  return [await readStandardInput()]
}

async function generate(text: TextModel, prompts: readonly string[], flags: Flags, io: Io): Promise<void> {
  if (flags.beams !== undefined) await searchBeams(text, prompts, { ...flags, beams: flags.beams }, io)
  else if (prompts.length > 1 || flags.json) await generateAll(text, prompts, flags, io)
  else await streamOne(text, prompts[0]!, flags, io)
}

/** One object for one prompt, else an array of them. */
const printJson = (io: Io, rows: readonly unknown[]): void =>
  io.stdout(`${JSON.stringify(rows.length === 1 ? rows[0] : rows, null, 2)}\n`)

async function searchBeams(text: TextModel, prompts: readonly string[], flags: Flags & { beams: number }, io: Io): Promise<void> {
  const p = flags.p ?? text.model.defaultP
  const { beams, maxTokens, allowSpecial } = flags
  const rows = []
  for (const prompt of prompts) {
    const found = await text.beamSearch(prompt, { beams, maxTokens, p, allowSpecial, signal: io.signal })
    rows.push({ prompt, p, precision: text.model.weights, beams: found })
  }
  if (flags.json) printJson(io, rows)
  else
    printTexts(
      io,
      rows.map(({ prompt, beams }) => ({ prompt, text: forTerminal(beams[0]!.text, io) })),
    )
}

async function generateAll(text: TextModel, prompts: readonly string[], flags: Flags, io: Io): Promise<void> {
  const p = flags.p ?? text.model.defaultP
  const options = { ...textOptions(flags, io.signal), p }
  const results = await text.generateBatch(prompts, options)
  if (flags.json) {
    printJson(
      io,
      results.map((result, i) => ({ prompt: prompts[i]!, p, precision: text.model.weights, seed: options.seed, ...result })),
    )
    return
  }
  const paint = painter(flags, p, io)
  printTexts(
    io,
    results.map((result, i) => ({ prompt: prompts[i]!, text: paint?.(result.tokens) ?? forTerminal(result.text, io) })),
  )
}

/** A single text stands alone; several stand behind their prompts, a blank line between them. */
function printTexts(io: Io, texts: readonly { readonly prompt: string; readonly text: string }[]): void {
  const lines = texts.map(({ prompt, text }) => (texts.length === 1 ? text : prompt + text))
  io.stdout(`${lines.join('\n\n')}\n`)
}

/** With --streams, tokens on the colours of their streams; the legend is told at once. */
function painter(flags: Flags, p: number, io: Io): ((tokens: readonly TextToken[]) => string) | undefined {
  if (!flags.streams) return undefined
  io.stderr(`${streamLegend(p, io.color)}\n`)
  const block = streamBlocks(p, io.color)
  return (tokens) => tokens.map((token) => block(forTerminal(token.text, io), token.streamWeights)).join('')
}

async function streamOne(text: TextModel, prompt: string, flags: Flags, io: Io): Promise<void> {
  const p = flags.p ?? text.model.defaultP
  const progress = io.progress('prompt', 'tokens')
  const onPrefill = (done: number, total: number) => progress.update(done, total)
  const options = { ...textOptions(flags, io.signal), p, onPrefill }
  const paint = painter(flags, p, io)
  const started = performance.now()
  const stream = text.stream(prompt, options)
  let next = await stream.next().finally(() => progress.end())
  const firstToken = performance.now()
  for (; !next.done; next = await stream.next()) io.stdout(paint?.(next.value.tokens) ?? forTerminal(next.value.text, io))
  io.stdout('\n')
  io.stderr(`${summary(next.value, text, p, options.seed, firstToken - started, performance.now() - firstToken)}\n`)
  const context = text.model.config.maxPositionEmbeddings
  if (next.value.finishReason === 'length' && next.value.tokens.length < flags.maxTokens)
    io.stderr(`the context of this model, ${context} tokens, is full: --max-tokens ${flags.maxTokens} could not be reached\n`)
}

function summary(result: TextResult, { model }: TextModel, p: number, seed: number, prefillMs: number, decodeMs: number): string {
  const n = result.tokens.length
  const rate = n > 1 ? `, ${(decodeMs / (n - 1)).toFixed(1)} ms a token` : ''
  return `[P = ${p}, weights ${model.weights}, seed ${seed}: ${counted(result.promptTokens, 'prompt token')} in ${prefillMs.toFixed(0)} ms, ${counted(n, 'new token')}${rate}, ended by ${result.stopString === null ? result.finishReason : JSON.stringify(result.stopString)}]`
}
