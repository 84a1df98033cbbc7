/** `parscale chat`: a conversation in the model's own template; earlier turns are not computed again. */
import process from 'node:process'
import { createInterface } from 'node:readline/promises'
import { type Command, Option } from '@commander-js/extra-typings'
import { isParscaleError } from '@parscale/core/internal'
import type { Chat } from '@parscale/core/internal/generation'
import { loadTextModel } from '../load/load.ts'
import { forTerminal, type Io } from '../terminal/io.ts'
import { checkSampling, collect, type FlagsOf, loadOptions, textOptions, withModel, withSampling } from './options.ts'

const examples = `
Examples:
  parscale chat ./SmolLM2-135M-Instruct.gguf
  parscale chat ParScale/ParScale-1.8B-P8-Inst --p 8 --system "Answer in one sentence."
  parscale chat ./model --message "Who wrote Moby-Dick?" --message "When?" --json

In the conversation: /reset begins anew, /exit or Ctrl-D ends, Ctrl-C cuts an answer short.`

const withOptions = (command: Command) =>
  withModel(
    withSampling(
      command
        .argument('<model>', 'folder, .gguf file or ORG/NAME')
        .option('--system <text>', 'the system message')
        .addOption(
          new Option('--message <text>', 'say this instead of asking on the terminal; may be repeated, one turn each').argParser(
            collect,
          ),
        ),
    ),
  ).option('--json', 'print each answer as a line of JSON')

type Flags = FlagsOf<typeof withOptions>

export function register(command: Command, io: Io): void {
  withOptions(command)
    .addHelpText('after', examples)
    .action(async (model, flags) => {
      checkSampling(flags)
      const text = await loadTextModel(model, loadOptions(io, flags))
      try {
        const open = () => text.chat({ p: flags.p, system: flags.system })
        if (flags.message) {
          const chat = open()
          for (const message of flags.message) await answer(chat, message, flags, io, io.signal)
        } else await converse(open, flags, io)
      } finally {
        await text.dispose()
      }
    })
}

async function converse(open: () => Chat, flags: Flags, io: Io): Promise<void> {
  const lines = createInterface({ input: process.stdin, output: process.stdin.isTTY ? process.stderr : undefined, prompt: '> ' })
  let chat = open()
  lines.on('SIGINT', () => lines.close())
  io.signal.addEventListener('abort', () => lines.close())
  lines.prompt()
  for await (const line of lines) {
    const message = line.trim()
    if (message === '/exit') break
    if (message === '/reset') {
      await chat.close()
      chat = open()
    } else if (message !== '') {
      const answering = new AbortController()
      const send = () => answer(chat, message, flags, io, AbortSignal.any([io.signal, answering.signal]))
      try {
        await (process.stdin.isTTY ? whileKeysSignal(io, () => answering.abort(), send) : send())
      } catch (error) {
        if (answering.signal.aborted) io.stderr('\n[cut short; the turn is not kept]\n')
        // Somebody who sits there can say it shorter; a script wants the exit code.
        else if (process.stdin.isTTY && isParscaleError(error)) io.stderr(`parscale: ${error.message}\n`)
        else throw error
      }
    }
    lines.prompt()
  }
  lines.close()
  io.signal.throwIfAborted()
}

/** readline reads keys itself, so that Ctrl-C would be a key like others, unheard while the model computes. */
async function whileKeysSignal(io: Io, stop: () => void, work: () => Promise<void>): Promise<void> {
  process.stdin.setRawMode(false)
  try {
    await (io.interrupts ? io.interrupts.cutShort(stop, work) : work())
  } finally {
    if (!io.signal.aborted) process.stdin.setRawMode(true)
  }
}

async function answer(chat: Chat, message: string, flags: Flags, io: Io, signal: AbortSignal): Promise<void> {
  const progress = io.progress('reading', 'tokens')
  const before = chat.cachedTokens
  const options = { ...textOptions(flags, signal), onPrefill: (done: number, total: number) => progress.update(done, total) }
  const stream = chat.send(message, options)
  let next = await stream.next().finally(() => progress.end())
  for (; !next.done; next = await stream.next()) if (!flags.json) io.stdout(forTerminal(next.value.text, io))
  io.stdout(flags.json ? `${JSON.stringify({ message, seed: options.seed, cachedTokens: before, ...next.value })}\n` : '\n')
}
