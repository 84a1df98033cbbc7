/** The command line at a real terminal: a pty around the process, and an emulator that knows what is then on the screen. */
import { spawn, spawnSync } from 'node:child_process'
import { devNull } from 'node:os'
import { fileURLToPath } from 'node:url'
import xterm from '@xterm/headless'
import { mainPath } from './cli.ts'

const relay = fileURLToPath(new URL('./open-pty.py', import.meta.url))

/** Python makes the pty; where it is missing, or on Windows, such tests are left out. */
export const canOpenTerminals = process.platform !== 'win32' && spawnSync('python3', ['-c', 'import pty']).status === 0

export interface TerminalOptions {
  readonly columns?: number
  readonly rows?: number
  readonly env?: NodeJS.ProcessEnv
  /** Default: the command line with `args`. */
  readonly command?: readonly string[]
}

export class TestTerminal {
  readonly #screen: xterm.Terminal
  readonly #child: ReturnType<typeof spawn>
  readonly #ended: Promise<number | null>
  #seen = ''
  #from = 0

  constructor(args: readonly string[], { columns = 80, rows = 24, env = {}, command }: TerminalOptions = {}) {
    this.#screen = new xterm.Terminal({ cols: columns, rows, scrollback: 1000, allowProposedApi: true, convertEol: false })
    const run = command ?? [process.execPath, '--conditions=source', '--import', 'tsx', mainPath]
    this.#child = spawn('python3', [relay, String(columns), String(rows), ...run, ...args], {
      env: {
        ...process.env,
        PARSCALE_CONFIG: devNull,
        TERM: 'xterm-256color',
        FORCE_COLOR: undefined,
        NO_COLOR: undefined,
        ...env,
      },
      stdio: ['pipe', 'pipe', 'inherit'],
    })
    this.#child.stdout!.setEncoding('utf8').on('data', (text: string) => {
      this.#seen += text
      this.#screen.write(text)
    })
    this.#ended = new Promise((resolve) => this.#child.on('close', (code) => resolve(code)))
  }

  /** Everything that the process wrote, escape sequences included. */
  get written(): string {
    return this.#seen
  }

  type(keys: string): void {
    this.#child.stdin!.write(keys)
  }

  /** A paste as terminals send it to programs that asked for brackets. */
  paste(text: string): void {
    this.type(`\u001b[200~${text.replaceAll('\n', '\r')}\u001b[201~`)
  }

  /** Waits until the process has written this, after what was waited for before. */
  async until(text: string | RegExp, withinMs = 300_000): Promise<string> {
    const deadline = Date.now() + withinMs
    for (;;) {
      const rest = this.#seen.slice(this.#from)
      const at = typeof text === 'string' ? rest.indexOf(text) : rest.search(text)
      if (at >= 0) {
        const found = typeof text === 'string' ? text : text.exec(rest)![0]
        this.#from += at + found.length
        return rest.slice(0, at + found.length)
      }
      if (Date.now() > deadline || this.#child.exitCode !== null)
        throw new Error(`the terminal never showed ${text}; its screen is\n${await this.screen()}`)
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
  }

  /** The lines of the screen and of what has scrolled away, as a person sees them. */
  async screen(): Promise<string> {
    await new Promise<void>((resolve) => this.#screen.write('', resolve))
    const { active } = this.#screen.buffer
    const lines = Array.from({ length: active.length }, (_, y) => active.getLine(y)!.translateToString(true))
    return lines.join('\n').trimEnd()
  }

  /** Waits for the process to end. */
  ended(): Promise<number | null> {
    return this.#ended
  }

  async kill(): Promise<void> {
    this.#child.kill()
    await this.#ended
  }
}
