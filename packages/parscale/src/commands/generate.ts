/** `parscale generate`: continues a prompt; text on stdout as it comes. */
import { readFile } from 'node:fs/promises'
import process from 'node:process'
import { text as readAll } from 'node:stream/consumers'
import { type Command, Option } from '@commander-js/extra-typings'
import { usageError } from '@parscale/core'
import type { TextModel, TextResult } from '@parscale/core/generation'
import type { Io } from '../io.ts'
import { loadTextModel, shippedModel } from '../load.ts'
import { streamBlocks, streamLegend } from '../stream-colors.ts'
import {
  addOptions,
  collect,
  deviceOption,
  integer,
  loadOptions,
  pOption,
  type SamplingFlags,
  samplingOptions,
  streamSetOption,
  textOptions,
  threadsOption,
} from './options.ts'

const examples = `
Examples:
  parscale generate --prompt "Once upon a time" --p 4
  parscale generate ./SmolLM2.gguf --prompt "The capital of France is" --max-tokens 32 --temperature 0
  parscale generate ParScale/ParScale-1.8B-P8 --prompt "def fib(n):" --stop "\\ndef" --seed 7 --json
  parscale generate ./model --prompt "One" --prompt "Two"            (two prompts, computed together)
  cat prompt.txt | parscale generate ./model --beams 4

MODEL is a folder, a .gguf file or a model of the hub that was pulled; without it, the small model that ships.`

interface Flags extends SamplingFlags {
  readonly prompt?: string[]
  readonly file?: string
  readonly p?: number
  readonly streamSet?: string[]
  readonly beams?: number
  readonly streams?: true
  readonly device?: 'cpu' | 'webgpu' | 'cuda'
  readonly threads?: number
  readonly json?: true
}

export function registerGenerate(program: Command, io: Io): void {
  const command = program
    .command('generate')
    .description('continue a prompt')
    .argument('[model]', 'folder, .gguf file or ORG/NAME')
  addOptions(command, [
    new Option('--prompt <text>', 'the text to continue; may be repeated (default: standard input)').argParser(collect),
    new Option('--file <path>', 'read the prompt from a file'),
    pOption,
    streamSetOption,
    ...samplingOptions,
    new Option('--beams <n>', 'beam search with so many beams instead of sampling').argParser(integer(1)),
    new Option('--streams', "show each stream's weight in each token"),
    deviceOption,
    threadsOption,
    new Option('--json', 'print the result as JSON'),
  ])
  command.addHelpText('after', examples).action(async (model) => {
    const flags = command.opts() as unknown as Flags
    const prompts = await readPrompts(flags)
    // A token is at least one character, so this is never too little.
    const contextTokens = prompts.reduce((sum, prompt) => sum + prompt.length + flags.maxTokens, 0)
    const text = await loadTextModel(model, loadOptions(io, flags, contextTokens))
    try {
      if (model === undefined) io.stderr(`model: ${shippedModel} (random weights: it shows the machinery, not language)\n`)
      await generate(text, prompts, flags, io)
    } finally {
      await text.dispose()
    }
  })
}

async function readPrompts(flags: Flags): Promise<string[]> {
  const given = [...(flags.prompt ?? []), ...(flags.file === undefined ? [] : [await readPromptFile(flags.file)])]
  if (given.length > 0) return given
  if (process.stdin.isTTY) throw usageError('there is no prompt; give --prompt TEXT, --file PATH, or pipe text in')
  return [await readAll(process.stdin)]
}

async function readPromptFile(path: string): Promise<string> {
  return await readFile(path, 'utf8').catch((cause: NodeJS.ErrnoException) => {
    throw usageError(`--file ${path}: cannot be read (${cause.code})`, { flag: 'file', cause })
  })
}

async function generate(text: TextModel, prompts: readonly string[], flags: Flags, io: Io): Promise<void> {
  const options = { ...textOptions(flags, io.signal), p: flags.p }
  const p = flags.p ?? text.model.defaultP
  if (flags.beams !== undefined) {
    for (const prompt of prompts) {
      const results = await text.beamSearch(prompt, {
        beams: flags.beams,
        maxTokens: flags.maxTokens,
        p,
        signal: io.signal,
        allowSpecial: flags.allowSpecial,
      })
      io.stdout(flags.json ? `${JSON.stringify({ prompt, p, beams: results }, null, 2)}\n` : `${results[0]!.text}\n`)
    }
    return
  }
  const started = performance.now()
  if (prompts.length > 1 || flags.json) {
    const results = await Promise.all(prompts.map((prompt) => text.generate(prompt, options)))
    if (flags.json) {
      const rows = results.map((result, i) => resultJson(prompts[i]!, result, p, options.seed))
      io.stdout(`${JSON.stringify(rows.length === 1 ? rows[0] : rows, null, 2)}\n`)
    } else for (const [i, result] of results.entries()) io.stdout(`${i > 0 ? '\n' : ''}${prompts[i]}${result.text}\n`)
    return
  }
  const progress = io.progress('prompt', 'tokens')
  let firstToken = 0
  const stream = text.stream(prompts[0]!, { ...options, onPrefill: (done, total) => progress.update(done, total) })
  const colors = flags.streams ? streamBlocks(p, io.color) : undefined
  if (colors) io.stderr(`${streamLegend(p, io.color)}\n`)
  for (;;) {
    const { done, value } = await stream.next()
    if (firstToken === 0) {
      firstToken = performance.now()
      progress.end()
    }
    if (!done) io.stdout(colors ? value.tokens.map((token) => colors(token.text, token.streamWeights)).join('') : value.text)
    else {
      io.stdout('\n')
      io.stderr(`${summary(value, p, options.seed, firstToken - started, performance.now() - firstToken)}\n`)
      return
    }
  }
}

function summary(result: TextResult, p: number, seed: number, prefillMs: number, decodeMs: number): string {
  const n = result.tokens.length
  const rate = n > 1 ? `, ${(decodeMs / (n - 1)).toFixed(1)} ms a token` : ''
  return `[P = ${p}, seed ${seed}: ${result.promptTokens} prompt tokens in ${prefillMs.toFixed(0)} ms, ${n} new tokens${rate}, ended by ${result.stopString === null ? result.finishReason : JSON.stringify(result.stopString)}]`
}

function resultJson(prompt: string, result: TextResult, p: number, seed: number) {
  return { prompt, p, seed, ...result }
}
