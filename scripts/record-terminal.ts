/**
 * Records commands in a real terminal, as an SVG that plays. It needs `script`
 * (util-linux), which gives a program a terminal.
 *
 * What the commands print goes through xterm's own parser, so that the picture shows what a terminal shows. Each frame
 * is a screen; equal lines are written once. Pauses are shortened, so times in the picture are no measurement.
 */
import { spawn } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
import xterm, { type IBufferCell, type Terminal } from '@xterm/headless'

const columns = 84
const rows = 24
const cell = { width: 8.4, height: 18 }
const margin = { x: 16, top: 54, bottom: 14 }
/** Seconds: a key, the wait before a command is entered, the longest wait for output, the last screen. */
const pace = { key: 0.035, enter: 0.5, longest: 0.4, after: 2.2 }
const root = fileURLToPath(new URL('..', import.meta.url))

/** Colours 0 to 15 of a dark terminal. */
const palette = [
  ...['#484f58', '#ff7b72', '#3fb950', '#d29922', '#58a6ff', '#bc8cff', '#39c5cf', '#b1bac4'],
  ...['#6e7681', '#ffa198', '#56d364', '#e3b341', '#79c0ff', '#d2a8ff', '#56d4dd', '#f0f6fc'],
]

/** A screen, a line of SVG each, and how long it stays. */
interface Frame {
  readonly lines: readonly string[]
  seconds: number
}

export async function recordTerminal(commands: readonly string[], file: string): Promise<void> {
  const terminal = new xterm.Terminal({ cols: columns, rows, allowProposedApi: true, convertEol: false })
  const frames: Frame[] = []
  const show = async (text: string, seconds: number) => {
    await new Promise<void>((done) => terminal.write(text, done))
    const lines = screen(terminal)
    const last = frames.at(-1)
    if (last && last.lines.join('\n') === lines.join('\n')) last.seconds += seconds
    else frames.push({ lines, seconds })
  }
  for (const command of commands) {
    await show('\x1b[32m$\x1b[0m ', pace.enter)
    for (const key of command) await show(key, pace.key)
    await show('\r\n', 0.1)
    for (const { text, seconds } of await run(command)) await show(text, seconds)
    frames.at(-1)!.seconds += pace.after
  }
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(file, playing(frames))
}

/** Runs a command in a terminal; what it wrote, in pieces, each with the time until the next one. */
async function run(command: string): Promise<{ text: string; seconds: number }[]> {
  const pieces: { text: string; at: number }[] = []
  const environment = { ...process.env, TERM: 'xterm-256color', PATH: `${root}node_modules/.bin:${process.env.PATH}` }
  const line = `stty cols ${columns} rows ${rows}; ${command.replace(/^npx /, '')}`
  const child = spawn('script', ['-qec', line, '/dev/null'], {
    cwd: root,
    env: environment,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  child.stdout.setEncoding('utf8')
  child.stdout.on('data', (text: string) => pieces.push({ text, at: performance.now() }))
  const code = await new Promise((done) => child.on('close', done))
  if (code !== 0) throw new Error(`${command} ended with ${code}`)
  return pieces.map(({ text, at }, index) => {
    const next = pieces[index + 1]?.at ?? at
    // Where this checkout lies is nobody's business.
    return { text: text.replaceAll(root, '~/parscale/'), seconds: Math.min(pace.longest, (next - at) / 1000) }
  })
}

/** The visible lines, as SVG text with a span for each run of equal colours. */
function screen(terminal: Terminal): string[] {
  const buffer = terminal.buffer.active
  return Array.from({ length: rows }, (_, row) => {
    const line = buffer.getLine(buffer.viewportY + row)
    const spans: { style: string; text: string; column: number }[] = []
    for (let column = 0; line && column < columns; column++) {
      const at = line.getCell(column)
      if (!at || at.getWidth() === 0) continue
      const [style, text] = [styleOf(at), at.getChars() || ' ']
      const last = spans.at(-1)
      if (last?.style === style) last.text += text
      else spans.push({ style, text, column })
    }
    return spans
      .filter(({ text }) => text.trim() !== '')
      .map(({ style, text, column }) => `<tspan x="${x(column)}"${style}>${escaped(text.trimEnd())}</tspan>`)
      .join('')
  })
}

const x = (column: number) => (margin.x + column * cell.width).toFixed(1)

function styleOf(at: IBufferCell): string {
  const color = at.isFgRGB()
    ? `#${at.getFgColor().toString(16).padStart(6, '0')}`
    : at.isFgPalette()
      ? paletteColor(at.getFgColor())
      : ''
  return `${color && ` fill="${color}"`}${at.isBold() ? ' font-weight="bold"' : ''}${at.isDim() ? ' opacity=".65"' : ''}`
}

/** xterm's 256 colours: 16 of the theme, a cube of 216, 24 greys. */
function paletteColor(index: number): string {
  if (index < 16) return palette[index]!
  const level = (step: number) => (step === 0 ? 0 : 55 + 40 * step)
  const c = index - 16
  const parts =
    index < 232 ? [level(Math.floor(c / 36)), level(Math.floor(c / 6) % 6), level(c % 6)] : Array(3).fill(8 + 10 * (index - 232))
  return `#${parts.map((part) => part.toString(16).padStart(2, '0')).join('')}`
}

const escaped = (text: string) => text.replace(/[&<>]/g, (c) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;' })[c]!)

/** Frames one upon another; an animation lets one be seen at a time. Who wants no motion sees the last. */
function playing(frames: readonly Frame[]): string {
  const names = new Map<string, string>()
  const name = (line: string) => {
    if (!names.has(line)) names.set(line, `l${names.size}`)
    return names.get(line)!
  }
  const total = frames.reduce((sum, { seconds }) => sum + seconds, 0)
  let start = 0
  const shown = frames.map(({ lines, seconds }, index) => {
    const from = ((100 * start) / total).toFixed(3)
    start += seconds
    const to = ((100 * start) / total).toFixed(3)
    const uses = lines
      .flatMap((line, row) => (line ? [`<use href="#${name(line)}" y="${margin.top + row * cell.height}"/>`] : []))
      .join('')
    const isLast = index === frames.length - 1
    const visible = isLast ? `0%{opacity:0}${from}%,100%{opacity:1}` : `0%{opacity:0}${from}%{opacity:1}${to}%,100%{opacity:0}`
    return {
      css: `@keyframes f${index}{${visible}}`,
      svg: `<g class="f${isLast ? ' last' : ''}" style="animation-name:f${index}">${uses}</g>`,
    }
  })
  const [width, height] = [columns * cell.width + 2 * margin.x, rows * cell.height + margin.top + margin.bottom]
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width.toFixed(0)} ${height}" width="${width.toFixed(0)}" height="${height}" role="img" aria-label="parscale in a terminal">
<style>
text{font:14px ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;fill:#e6edf3;white-space:pre}
.f{opacity:0;animation:${total.toFixed(2)}s step-end infinite}
@media (prefers-reduced-motion:reduce){.f{animation:none}.last{opacity:1}}
${shown.map(({ css }) => css).join('\n')}
</style>
<defs>
${[...names].map(([line, id]) => `<text id="${id}" xml:space="preserve">${line}</text>`).join('\n')}
</defs>
<rect width="100%" height="100%" rx="10" fill="#0d1117"/>
<g fill="#30363d"><circle cx="20" cy="18" r="6"/><circle cx="40" cy="18" r="6"/><circle cx="60" cy="18" r="6"/></g>
${shown.map(({ svg }) => svg).join('\n')}
</svg>
`
}
