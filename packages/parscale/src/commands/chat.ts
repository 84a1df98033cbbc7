/** `parscale chat`: a conversation in the model's own template; earlier turns are not computed again. */
import { basename, join } from 'node:path'
import process from 'node:process'
import { type Command, Option } from '@commander-js/extra-typings'
import type { TextModel } from '@parscale/core/internal/generation'
import { platformState } from '../home-folder.ts'
import type { ChosenEngine } from '../load/decode-engine.ts'
import { loadTextModel } from '../load/load.ts'
import { type History, openHistory } from '../terminal/history.ts'
import type { Io } from '../terminal/io.ts'
import { streamLegend } from '../terminal/stream-colors.ts'
import { answer } from './chat/answer.ts'
import { Conversation } from './chat/conversation.ts'
import { converse, readFromPipe } from './chat/converse.ts'
import { Settings } from './chat/settings.ts'
import { checkSampling, collect, type FlagsOf, loadOptions, withModel, withSampling } from './options.ts'

const examples = `
Examples:
  parscale chat ./SmolLM2-135M-Instruct.gguf
  parscale chat ParScale/ParScale-1.8B-P8-Inst --p 8 --system "Answer in one sentence."
  parscale chat ./model --message "Who wrote Moby-Dick?" --message "When?" --json

In the conversation: /help lists what can be done, /bye or Ctrl-D leaves, Ctrl-C cuts an answer short.`

const withOptions = (command: Command) =>
  withModel(
    withSampling(
      command
        .argument('<model>', 'folder, .gguf file, ORG/NAME or s3://BUCKET/KEY')
        .option('--system <text>', 'the system message')
        .addOption(
          new Option('--message <text>', 'say this instead of asking on the terminal; may be repeated, one turn each').argParser(
            collect,
          ),
        ),
    ),
  )
    .option('--streams', "show each stream's weight in each token")
    .option('--no-history', 'neither read nor write what was typed in other sessions')
    .option('--json', 'print each answer as a line of JSON')

type Flags = FlagsOf<typeof withOptions>

export function register(command: Command, io: Io): void {
  withOptions(command)
    .addHelpText('after', examples)
    .action(async (model, flags) => {
      checkSampling(flags)
      const options = loadOptions(io, flags)
      let engine: ChosenEngine | undefined
      const onEngine = (chosen: ChosenEngine) => {
        engine = chosen
        options.onEngine?.(chosen)
      }
      const text = await loadTextModel(model, { ...options, onEngine })
      try {
        const conversation = new Conversation(text, flags)
        const { json, message, streams = false } = flags
        if (streams && !json && conversation.p === 1) io.stderr(`${streamLegend(1, io.color)}\n`)
        if (message) {
          for (const each of message) await answer(io, conversation, each, { flags, json, streams, signal: io.signal })
          return
        }
        const state = {
          conversation,
          settings: new Settings(flags),
          streams,
          say: io.stderr,
          model: modelText(model, text, flags, engine),
        }
        if (!process.stdin.isTTY) return await readFromPipe(io, state, { json })
        io.stderr(`${state.model}, P = ${conversation.p}; /help lists commands\n`)
        const history = flags.history ? await historyOf(io) : undefined
        await converse(io, state, { json, figures: true }, history)
      } finally {
        await text.dispose()
      }
    })
}

/** Model, engine and precision. */
function modelText(name: string, { model }: TextModel, { kv }: Flags, engine: ChosenEngine | undefined): string {
  return [
    basename(name),
    `${engine?.engine}${engine?.engine === 'native' ? ` (${engine.why})` : ''}`,
    `weights ${model.weights}`,
    ...(kv === undefined ? [] : [`keys and values ${kv}`]),
  ].join(', ')
}

/** Undefined, with a line that says why, where the user has no home folder. */
async function historyOf(io: Io): Promise<History | undefined> {
  const say = (why: string) => io.stderr(`history: ${why}\n`)
  try {
    return await openHistory(join(platformState(io.env), 'chat-history'), say)
  } catch (error) {
    say((error as Error).message)
    return undefined
  }
}
