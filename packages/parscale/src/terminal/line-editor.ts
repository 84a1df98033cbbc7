/**
 * A line editor for a conversation at a terminal: node:readline, and before it what that lacks. A bracketed paste is part of one line,
 * whatever newlines are in it; keys that come while nobody asks are held back, and stand at the next prompt without being sent.
 */
import { spawnSync } from 'node:child_process'
import process from 'node:process'
import { createInterface, emitKeypressEvents, type Interface, type Key } from 'node:readline'
import { Readable } from 'node:stream'

/** Stands for a newline within a line that is edited. */
const newlinePicture = '\u2424'
const bracketedPaste = { on: '\u001b[?2004h', off: '\u001b[?2004l' }

/** A paste as if it were one key. */
const pasteKey: Key = { name: 'paste' }

export type Typed =
  | { readonly kind: 'line'; readonly text: string }
  /** Ctrl-C, which clears the line. */
  | { readonly kind: 'interrupted'; readonly hadText: boolean }
  /** Ctrl-D, a terminal that was closed, or `close`. */
  | { readonly kind: 'end' }

export interface LineEditorOptions {
  /** Newest first. */
  readonly history: readonly string[]
  readonly historySize: number
  /** Called with each line that was sent, as it stands in the history. */
  readonly onLine: (line: string) => void
  /** What Tab may make of a line. */
  readonly complete: (line: string) => string[]
}

export class LineEditor {
  readonly #readline: Interface
  readonly #keys = new Readable({ read() {} }) as Readable & { setRawMode?: (on: boolean) => void }
  #answer: ((typed: Typed) => void) | undefined
  #ended = false
  /** Typed while work went on: text. */
  #held = ''
  #working = false
  /** Typed between a line and the next prompt, and not during work: keys, an Enter among them, as if the prompt had been there. */
  #early: (readonly [character: string | undefined, key: Key])[] = []
  #pasted: string | undefined
  #onInterrupt: (() => void) | undefined

  constructor({ history, historySize, onLine, complete }: LineEditorOptions) {
    const { stdin, stderr } = process
    this.#keys.setRawMode = (on) => void stdin.setRawMode(on)
    this.#readline = createInterface({
      input: this.#keys,
      output: stderr,
      terminal: true,
      history: [...history],
      historySize,
      removeHistoryDuplicates: true,
      completer: (line: string) => [complete(line), line],
    })
    this.#readline
      .on('line', (line) => {
        if (line.trim() !== '') onLine(line)
        this.#reply({ kind: 'line', text: line.replaceAll(newlinePicture, '\n') })
      })
      .on('SIGINT', () => this.#interrupt())
      .on('close', () => this.#end())
    emitKeypressEvents(stdin)
    stdin.on('keypress', this.#onKey).on('end', this.#onEnd).resume()
  }

  /** Asks for a line. Only now do keys reach the editor; those held back stand in the line. */
  ask(prompt: string): Promise<Typed> {
    if (this.#ended) return Promise.resolve({ kind: 'end' })
    return new Promise((resolve) => {
      this.#answer = resolve
      // Off again before any work, which a second Ctrl-C may end where nothing could turn it off.
      process.stderr.write(bracketedPaste.on)
      this.#readline.setPrompt(prompt)
      this.#readline.prompt()
      if (this.#held !== '') this.#insert(this.#held.replace(/\n+$/, ''))
      this.#held = ''
      for (const [character, key] of this.#early.splice(0)) this.#onKey(character, key)
    })
  }

  /**
   * While `work` goes on, Ctrl-C is a signal as it is for any command, which is heard also while the event loop is blocked. Where the
   * terminal cannot be set so, it is a key, heard between two pieces of the work, and calls `stop`.
   *
   * @param work calls `over` when nothing is left but to say so, before it does: who reads that and types has typed at the next prompt
   */
  async whileWorking<T>(stop: () => void, work: (over: () => Promise<void>) => Promise<T>): Promise<T> {
    this.#working = true
    for (const [character, key] of this.#early.splice(0)) this.#hold(character, key)
    const signals = terminalSignals(true)
    if (!signals) this.#onInterrupt = stop
    try {
      return await work(() => this.#stopHolding())
    } finally {
      await this.#stopHolding()
      if (signals) terminalSignals(false)
      this.#onInterrupt = undefined
    }
  }

  /** What was typed up to here is read and held; an Enter that comes later sends the line. */
  async #stopHolding(): Promise<void> {
    if (!this.#working) return
    // Node reads the terminal between two of them.
    for (let i = 0; i < 2; i++) await new Promise(setImmediate)
    this.#working = false
  }

  close(): void {
    this.#readline.close()
  }

  readonly #onEnd = () => this.close()

  readonly #onKey = (character: string | undefined, key: Key): void => {
    if (key.name === 'paste-start') this.#pasted = ''
    else if (key.name === 'paste-end') {
      const text = this.#pasted ?? ''
      this.#pasted = undefined
      this.#onKey(text, pasteKey)
    } else if (this.#pasted !== undefined) this.#pasted += character ?? ''
    else if (this.#working) this.#hold(character, key)
    else if (!this.#answer) this.#early.push([character, key])
    else if (key === pasteKey) this.#insert(printable(character ?? ''))
    else this.#keys.emit('keypress', character, key)
  }

  #hold(character: string | undefined, key: Key): void {
    if (key.ctrl && key.name === 'c') this.#onInterrupt?.()
    else if (key.name === 'backspace') this.#held = this.#held.replace(/.$/su, '')
    else if (!key.ctrl && !key.meta) this.#held += printable(character ?? '')
  }

  /** At once: key by key, a long text would be measured anew for each of them. */
  #insert(text: string): void {
    if (text !== '') this.#readline.write(text.replaceAll('\n', newlinePicture))
  }

  #interrupt(): void {
    const hadText = this.#readline.line !== ''
    // As Ctrl-E and Ctrl-U do: what was typed is gone, and is not history.
    this.#readline.write(null, { ctrl: true, name: 'e' })
    this.#readline.write(null, { ctrl: true, name: 'u' })
    process.stderr.write('\n')
    this.#reply({ kind: 'interrupted', hadText })
  }

  #reply(typed: Typed): void {
    const answer = this.#answer
    this.#answer = undefined
    if (answer) process.stderr.write(bracketedPaste.off)
    answer?.(typed)
  }

  #end(): void {
    if (this.#ended) return
    this.#ended = true
    process.stdin.off('keypress', this.#onKey).off('end', this.#onEnd).pause()
    this.#reply({ kind: 'end' })
  }
}

/** What a line can show: newlines and tabs; of other control characters, nothing. */
const printable = (text: string): string =>
  text
    .replace(/\r\n?/g, '\n')
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what this is about
    .replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g, '')

/**
 * Raw mode, which shows no keys, with or without Ctrl-C as a signal. Node has no call for it: its modes are raw without signals, and
 * cooked, where keys show in the middle of an answer. @returns false where the terminal cannot be set so
 */
function terminalSignals(on: boolean): boolean {
  if (process.platform === 'win32') return false
  return spawnSync('stty', [on ? 'isig' : '-isig'], { stdio: ['inherit', 'ignore', 'ignore'] }).status === 0
}
