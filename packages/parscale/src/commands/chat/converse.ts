/** The conversation itself: at a terminal with a line editor, or a line of a pipe for each turn. */
import process from 'node:process'
import { createInterface } from 'node:readline/promises'
import { anySignal, isParscaleError } from '@parscale/core/internal'
import { type History, historyLength } from '../../terminal/history.ts'
import type { Io } from '../../terminal/io.ts'
import { LineEditor } from '../../terminal/line-editor.ts'
import { type AnswerOptions, answer } from './answer.ts'
import { type ChatState, completeSlash, isSlashCommand, runSlashCommand } from './slash-commands.ts'

/** How answers look, besides what the conversation itself may change. */
export type Looks = Pick<AnswerOptions, 'json' | 'figures'>

const send = (
  io: Io,
  { conversation, settings, streams }: ChatState,
  message: string,
  options: Looks & Pick<AnswerOptions, 'signal' | 'over'>,
) => answer(io, conversation, message, { ...options, streams, flags: settings.flags })

/** Each line of standard input is a turn. What fails ends it, since a script wants the exit code. */
export async function readFromPipe(io: Io, state: ChatState, looks: Looks): Promise<void> {
  const lines = createInterface({ input: process.stdin })
  const stop = () => lines.close()
  io.signal.addEventListener('abort', stop)
  for await (const line of lines) {
    if (isSlashCommand(line)) {
      if ((await runSlashCommand(line, state)) === 'leave') break
    } else if (line.trim() !== '') await send(io, state, line.trim(), { ...looks, signal: io.signal })
  }
  lines.close()
  io.signal.throwIfAborted()
}

/** Somebody who sits there is told what fails, and can say it otherwise. */
export async function converse(io: Io, state: ChatState, looks: Looks, history: History | undefined): Promise<void> {
  const editor = new LineEditor({
    history: history?.lines ?? [],
    historySize: historyLength,
    onLine: (line) => void history?.add(line),
    complete: completeSlash,
  })
  const stop = () => editor.close()
  io.signal.addEventListener('abort', stop)
  try {
    for (;;) {
      const message = await readMessage(io, editor)
      if (message === undefined) break
      try {
        if (isSlashCommand(message)) {
          if ((await runSlashCommand(message, state)) === 'leave') break
        } else if (message.trim() !== '') await sendUntilCut(io, editor, state, looks, message.trim())
      } catch (error) {
        if (!isParscaleError(error)) throw error
        state.say(`parscale: ${error.message}\n`)
      }
    }
  } finally {
    editor.close()
  }
  io.signal.throwIfAborted()
}

async function sendUntilCut(io: Io, editor: LineEditor, state: ChatState, looks: Looks, message: string): Promise<void> {
  const answering = new AbortController()
  const stop = () => answering.abort()
  const signal = anySignal(io.signal, answering.signal)
  try {
    await editor.whileWorking(stop, (over) => {
      const work = () => send(io, state, message, { ...looks, signal, over })
      return io.interrupts ? io.interrupts.cutShort(stop, work) : work()
    })
  } catch (error) {
    if (!answering.signal.aborted) throw error
    io.stderr('\n[cut short; the turn is not kept]\n')
  }
}

/** A line, or all from `"""` to `"""`; undefined at the end. Ctrl-C clears, and leaves when it comes twice. */
async function readMessage(io: Io, editor: LineEditor): Promise<string | undefined> {
  let asked = 0
  for (;;) {
    const typed = await editor.ask('> ')
    if (typed.kind === 'end') {
      io.stderr('\n')
      return undefined
    }
    if (typed.kind === 'line') {
      asked = 0
      const whole = await readBlock(editor, typed.text)
      if (whole !== undefined) return whole
    } else {
      if (asked > 0 && !typed.hadText) return undefined
      if (asked++ === 0) io.stderr('(Ctrl-C again, Ctrl-D or /bye leaves)\n')
    }
  }
}

const quotes = '"""'

async function readBlock(editor: LineEditor, first: string): Promise<string | undefined> {
  if (!first.trimStart().startsWith(quotes)) return first
  let text = first.trimStart().slice(quotes.length)
  while (!text.trimEnd().endsWith(quotes)) {
    const typed = await editor.ask('. ')
    if (typed.kind !== 'line') return undefined
    text += `\n${typed.text}`
  }
  // A space keeps a block that begins with a slash from being a command.
  return ` ${text.trimEnd().slice(0, -quotes.length).trim()}`
}
