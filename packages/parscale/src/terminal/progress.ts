/** A progress bar on one line: percentage, amounts, rate, time left. It is redrawn at most ten times a second. */

export interface Progress {
  /**
   * `done` of `total` units so far; without `total` there is no bar and no estimate. `note` is shown at the end of the line; of several,
   * the first is what the user came to see: it stands behind the label and goes last where the line is too narrow.
   */
  update(done: number, total?: number, note?: string | readonly string[]): void
  /** Takes the line away, since something else is to be written; the next update draws it again. */
  hide?(): void
  /** Clears the line, if one is drawn; `note`, where given, stays in its place. */
  end(note?: string): void
}

export const silentProgress: Progress = { update() {}, hide() {}, end() {} }

const redrawIntervalMs = 100
const barWidth = 20
const clearLine = '\r\u001b[2K'

export interface ProgressOptions {
  readonly label: string
  /** Follows the numbers: `B`, `tokens`. */
  readonly unit?: string
  readonly write: (text: string) => void
  /** Width of the terminal in characters, asked before each redraw. */
  readonly columns: () => number
  /** Milliseconds on a clock that never goes back. */
  readonly now?: () => number
}

export function createProgress({ label, unit = '', write, columns, now = () => performance.now() }: ProgressOptions): Progress {
  const startMs = now()
  let startDone: number | undefined
  let drawnMs = Number.NEGATIVE_INFINITY
  let drawn = false
  return {
    update(done, total, note) {
      startDone ??= done // what was there before (a resumed download) must not count into the rate
      const nowMs = now()
      if (nowMs - drawnMs < redrawIntervalMs) return
      drawnMs = nowMs
      drawn = true
      const rate = nowMs > startMs ? ((done - startDone) * 1000) / (nowMs - startMs) : 0
      write(clearLine + progressLine({ label, unit, done, total, note, rate }, columns() - 1))
    },
    hide() {
      if (drawn) write(clearLine)
      drawn = false
      drawnMs = Number.NEGATIVE_INFINITY
    },
    end(note) {
      // Once only: what is written after the line was cleared is not ours to erase.
      if (drawn) write(clearLine)
      drawn = false
      if (note !== undefined) write(`${label}: ${note}\n`)
    },
  }
}

interface ProgressState {
  readonly label: string
  readonly unit: string
  readonly done: number
  readonly total: number | undefined
  readonly note: string | readonly string[] | undefined
  /** Units per second since the start. */
  readonly rate: number
}

/** A part of the line. Where the line is too wide, parts are dropped whole, those of the lowest rank first: no number is ever cut. */
interface Field {
  readonly text: string
  readonly rank: number
}

/** The leading note goes last, and before it the label, the time left, the share, the amounts; first of all rates and the bar. */
const ranks = { lead: 9, label: 8, left: 7, share: 6, amount: 5, note: 4, bar: 3, rate: 2, others: 1 } as const

/** The text of the line, without control characters, in at most `width` characters. */
export function progressLine({ label, unit, done, total, note = [], rate }: ProgressState, width = Infinity): string {
  const [lead, ...others] = typeof note === 'string' ? [] : note
  const fields: Field[] = [{ text: label, rank: ranks.label }]
  if (lead !== undefined) fields.push({ text: lead, rank: ranks.lead })
  if (total !== undefined && total > 0) {
    const share = Math.min(1, done / total)
    const filled = Math.floor(share * barWidth)
    fields.push(
      { text: `[${'#'.repeat(filled)}${'-'.repeat(barWidth - filled)}]`, rank: ranks.bar },
      { text: `${Math.floor(share * 100)}%`, rank: ranks.share },
      { text: amounts(done, total, unit), rank: ranks.amount },
    )
  } else fields.push({ text: formatAmount(done, unit), rank: ranks.amount })
  if (rate > 0) fields.push({ text: `${formatAmount(rate, unit)}/s`, rank: ranks.rate })
  if (rate > 0 && total !== undefined && total > done)
    fields.push({ text: `ETA ${formatSeconds((total - done) / rate)}`, rank: ranks.left })
  if (typeof note === 'string' && note !== '') fields.push({ text: note, rank: ranks.note })
  // Of the others, the last goes first.
  fields.push(...others.map((text, i) => ({ text, rank: ranks.others - i / others.length })))
  return fitted(fields, width)
}

function fitted(fields: readonly Field[], width: number): string {
  const line = fields.map(({ text }) => text).join('  ')
  if (line.length <= width) return line
  // Words may be cut, figures not.
  if (fields.length === 1) return /\d/.test(line) ? '' : `${line.slice(0, Math.max(0, width - 3))}...`
  const lowest = Math.min(...fields.map(({ rank }) => rank))
  return fitted(
    fields.filter(({ rank }) => rank !== lowest),
    width,
  )
}

/** `250 MB/1 GB` of bytes, `1/200` of what is counted. */
function amounts(done: number, total: number, unit: string): string {
  if (unit === 'B') return `${formatAmount(done, unit)}/${formatAmount(total, unit)}`
  return total < 1e5 ? `${Math.floor(done)}/${total}` : `${formatAmount(done)}/${formatAmount(total)}`
}

/** `1234567, 'B'` -> `1.2 MB`: three figures at most, SI prefixes (powers of 1000). */
export function formatAmount(amount: number, unit = ''): string {
  const prefixes = ['', 'k', 'M', 'G', 'T']
  let scaled = amount
  let index = 0
  while (scaled >= 999.5 && index < prefixes.length - 1) {
    scaled /= 1000
    index++
  }
  const digits = scaled >= 99.5 || Number.isInteger(scaled) ? scaled.toFixed(0) : scaled.toFixed(1)
  const suffix = `${prefixes[index]}${unit}`
  return suffix === '' ? digits : `${digits} ${suffix}`
}

/** `75` -> `1:15`, `3675` -> `1:01:15`. */
export function formatSeconds(seconds: number): string {
  const whole = Math.ceil(seconds)
  const pad = (value: number) => String(value).padStart(2, '0')
  const hours = Math.floor(whole / 3600)
  const minutes = Math.floor(whole / 60) % 60
  return hours > 0 ? `${hours}:${pad(minutes)}:${pad(whole % 60)}` : `${minutes}:${pad(whole % 60)}`
}
