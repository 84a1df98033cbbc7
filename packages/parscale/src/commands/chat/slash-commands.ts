/** What a line that begins with a slash does: ollama's and llama.cpp's names where they have one. Nothing of it is sent to the model. */
import { usageError } from '@parscale/core/internal'
import { didYouMean, nearestNames } from '../../terminal/nearest.ts'
import type { Conversation } from './conversation.ts'
import { loadConversation, saveConversation } from './saved-conversation.ts'
import { type Settings, settingNames } from './settings.ts'

export interface ChatState {
  readonly conversation: Conversation
  readonly settings: Settings
  /** Model, engine and precision, in words. */
  readonly model: string
  /** Whether the weights of the streams are shown. */
  streams: boolean
  readonly say: (text: string) => void
}

interface SlashCommand {
  /** The first one is shown. */
  readonly names: readonly string[]
  readonly argument?: string
  readonly help: string
  /** @returns 'leave' where the conversation is over */
  readonly run: (state: ChatState, argument: string) => Promise<'leave' | undefined> | 'leave' | undefined
}

const slashCommands: readonly SlashCommand[] = [
  { names: ['/help', '/?'], help: 'this list', run: ({ say }) => void say(helpText()) },
  { names: ['/bye', '/exit', '/quit'], help: 'leave; so do Ctrl-D, and Ctrl-C twice', run: () => 'leave' },
  {
    names: ['/clear', '/reset'],
    help: 'begin anew; the system message stays',
    run: async ({ conversation, say }) => {
      await conversation.clear()
      say('the conversation begins anew\n')
      return undefined
    },
  },
  {
    names: ['/set'],
    argument: 'NAME VALUE',
    help: 'temperature, top_k, ... or system TEXT; alone: what is set',
    run: async (state, argument) => {
      await set(state, argument)
      return undefined
    },
  },
  {
    names: ['/p'],
    argument: 'N',
    help: 'streams of the next turns',
    run: async ({ conversation, say }, argument) => {
      const { availableP } = conversation.text.model
      const p = Number(argument)
      if (!Number.isSafeInteger(p) || p < 1)
        throw usageError(`${`/p ${argument}`.trim()}: expected a number of streams; this model has P = ${availableP.join(', ')}`)
      await conversation.setP(p)
      say(`P = ${p} from the next turn on\n`)
      return undefined
    },
  },
  {
    names: ['/streams'],
    help: 'show or hide which stream weighs most in each token',
    run: (state) => {
      state.streams = !state.streams
      const { p, text } = state.conversation
      const where = state.streams && p === 1 ? ` where P > 1; this model has P = ${text.model.availableP.join(', ')}` : ''
      state.say(`stream weights are ${state.streams ? 'shown' : 'hidden'}${where}\n`)
      return undefined
    },
  },
  {
    names: ['/save'],
    argument: 'FILE',
    help: 'write the conversation as JSON',
    run: async ({ conversation, say }, argument) => {
      const { messages } = conversation
      say(`${messages.length} messages in ${await saveConversation(required('/save', 'FILE', argument), messages)}\n`)
      return undefined
    },
  },
  {
    names: ['/load'],
    argument: 'FILE',
    help: 'go on with a conversation that was saved',
    run: async ({ conversation, say }, argument) => {
      const messages = await loadConversation(required('/load', 'FILE', argument))
      await conversation.restore(messages)
      say(`${messages.length} messages; the conversation goes on from there\n`)
      return undefined
    },
  },
  { names: ['/show'], help: 'model, streams and what is set', run: (state) => void state.say(showText(state)) },
]

const names = slashCommands.flatMap((command) => command.names)

/** True for a line that is ours. A space before the slash makes it text. */
export const isSlashCommand = (line: string): boolean => line.startsWith('/')

/** What Tab may make of the beginning of a command. */
export const completeSlash = (line: string): string[] => {
  const [, setting] = /^\/set\s+(\S*)$/.exec(line) ?? []
  if (setting !== undefined)
    return ['system', ...settingNames].filter((name) => name.startsWith(setting)).map((name) => `/set ${name}`)
  return isSlashCommand(line) ? names.filter((name) => name.startsWith(line)) : []
}

/** @throws usage error for a command that there is not, or an argument that it does not take */
export async function runSlashCommand(line: string, state: ChatState): Promise<'leave' | undefined> {
  const [, name = '', argument = ''] = /^(\S+)\s*([\s\S]*)$/.exec(line.trim()) ?? []
  const command = slashCommands.find((each) => each.names.includes(name.toLowerCase()))
  if (!command)
    throw usageError(
      `${name}: there is no such command${didYouMean(nearestNames(name, names)) || '.'} /help lists them; to send text that begins with a slash, put a space before it`,
      { found: name },
    )
  if (command.argument === undefined && argument !== '')
    throw usageError(`${name}: takes nothing behind it, got ${JSON.stringify(argument)}`, { found: argument })
  return (await command.run(state, argument)) ?? undefined
}

function required(name: string, what: string, argument: string): string {
  if (argument !== '') return argument
  throw usageError(`${name}: expected ${name} ${what}`)
}

async function set({ conversation, settings, say }: ChatState, argument: string): Promise<void> {
  if (argument === '') return say(settingsText(conversation, settings))
  const [, name = '', value = ''] = /^(\S+)\s*([\s\S]*)$/.exec(argument) ?? []
  if (name === 'system') {
    await conversation.setSystem(value === '' ? undefined : value)
    return say(value === '' ? 'no system message\n' : 'the system message is set\n')
  }
  say(`${settings.set(name, value)}\n`)
}

const settingsText = ({ system }: Conversation, settings: Settings): string =>
  [...settings.lines(), `system ${system === undefined ? '(none)' : JSON.stringify(system)}`]
    .map((line) => `  ${line}\n`)
    .join('')

const showText = (state: ChatState): string => {
  const { conversation, model } = state
  return [
    `${model}\n`,
    `  P = ${conversation.p} of ${conversation.text.model.availableP.join(', ')}; stream weights ${state.streams ? 'shown' : 'hidden'}\n`,
    `  ${conversation.messages.length} messages, ${conversation.cachedTokens} tokens of ${conversation.text.model.config.maxPositionEmbeddings} in the cache\n`,
    settingsText(conversation, state.settings),
  ].join('')
}

function helpText(): string {
  const terms = slashCommands.map(({ names, argument }) => [names.join(' '), ...(argument ? [argument] : [])].join(' '))
  const width = Math.max(...terms.map(({ length }) => length))
  return [
    ...slashCommands.map(({ help }, i) => `  ${terms[i]!.padEnd(width)}  ${help}\n`),
    `  ${'"""'.padEnd(width)}  begins a message of several lines, and ends it; a paste is one message\n`,
    `  ${'Ctrl-C'.padEnd(width)}  cuts an answer short, clears a line\n`,
  ].join('')
}
