/** A progress bar on one line: percentage, amounts, rate, time left. It is redrawn at most ten times a second. */

export interface Progress {
  /** `done` of `total` units so far; without `total` there is no bar and no estimate. `note` is shown at the end of the line. */
  update(done: number, total?: number, note?: string): void
  /** Clears the line, if one is drawn; `note`, where given, stays in its place. */
  end(note?: string): void
}

export const silentProgress: Progress = { update() {}, end() {} }

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
      write(clearLine + progressLine({ label, unit, done, total, note, rate }).slice(0, columns() - 1))
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
  readonly note: string | undefined
  /** Units per second since the start. */
  readonly rate: number
}

/** The text of the line, without control characters. */
export function progressLine({ label, unit, done, total, note, rate }: ProgressState): string {
  const parts = [label]
  if (total !== undefined && total > 0) {
    const share = Math.min(1, done / total)
    const filled = Math.floor(share * barWidth)
    parts.push(`[${'#'.repeat(filled)}${'-'.repeat(barWidth - filled)}]`, `${Math.floor(share * 100)}%`)
    parts.push(`${formatAmount(done, unit)}/${formatAmount(total, unit)}`)
  } else {
    parts.push(formatAmount(done, unit))
  }
  if (rate > 0) parts.push(`${formatAmount(rate, unit)}/s`)
  if (rate > 0 && total !== undefined && total > done) parts.push(`ETA ${formatSeconds((total - done) / rate)}`)
  if (note) parts.push(note)
  return parts.join('  ')
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
