/**
 * A text as its streams made it: each token on the colour of the stream that weighs most, and below it a bar of all weights. Drawn on
 * a canvas as large as what is seen, so that ten thousand tokens scroll as ten do; arrow keys walk through the tokens, and a table
 * says the same to those who read with a screen reader.
 */
import { type Signal, signal } from '@preact/signals'
import { useEffect, useMemo, useRef, useState } from 'preact/hooks'
import type { Token } from './api.ts'
import { css, disagreement, evenness, hue, leader, percent, shown, strength } from './streams.ts'
import { cssVariable, painted } from './theme.ts'
import { TokenLayout } from './token-layout.ts'
import { Button } from './ui.tsx'

export type ColourBy = 'stream' | 'entropy' | 'disagreement'

export interface TokenViewProps {
  readonly tokens: readonly Token[]
  /** Changes whenever `tokens` has. */
  readonly version: Signal<number>
  readonly cursor: Signal<number | undefined>
  readonly label: string
  readonly empty: string
  readonly colourBy: ColourBy
  /** Where P or the streams changed: index of the first token, and a word. */
  readonly marks?: readonly { readonly at: number; readonly text: string }[]
  readonly height?: number
}

const lineHeight = 36
const pad = 14
const font = "15px 'Inter', ui-sans-serif, system-ui, sans-serif"

/** One canvas that measures for all views. */
const measuring = document.createElement('canvas').getContext('2d')!
const widths = new Map<string, number>()
/** Counts arrivals of the typeface: what was measured before does not hold. */
const typeface = signal(0)
void document.fonts.load(font).then(() => {
  widths.clear()
  typeface.value++
})
function measure(text: string): number {
  const known = widths.get(text)
  if (known !== undefined) return known
  measuring.font = font
  const width = measuring.measureText(drawn(text)).width
  widths.set(text, width)
  return width
}
/** Kept short enough for a line, whatever a token holds. */
const drawn = (text: string) => text.replace(/\n/g, '↵').replace(/\t/g, '    ').slice(0, 200)

export function TokenView({ tokens, version, cursor, label, empty, colourBy, marks = [], height = 300 }: TokenViewProps) {
  const box = useRef<HTMLDivElement>(null)
  const canvas = useRef<HTMLCanvasElement>(null)
  const [width, setWidth] = useState(0)
  const asTable = useRef(false)
  const [table, setTable] = useState(false)
  const count = version.value >= 0 ? tokens.length : 0
  // A text that began anew has a layout of its own.
  const origin = tokens[0]
  const layout = useMemo(() => new TokenLayout(Math.max(40, width - 2 * pad), measure), [width, tokens, origin, typeface.value])
  layout.grow(tokens.map(({ text }) => text))
  const total = layout.lines * lineHeight + 2 * pad

  useEffect(() => {
    const element = box.current!
    const observer = new ResizeObserver(() => setWidth(element.clientWidth))
    observer.observe(element)
    setWidth(element.clientWidth)
    return () => observer.disconnect()
  }, [])

  const paint = () => {
    const [element, surface] = [box.current, canvas.current]
    if (!element || !surface || width === 0) return
    const scale = devicePixelRatio || 1
    const high = element.clientHeight
    if (surface.width !== Math.round(width * scale) || surface.height !== Math.round(high * scale)) {
      surface.width = Math.round(width * scale)
      surface.height = Math.round(high * scale)
    }
    const g = surface.getContext('2d')!
    g.setTransform(scale, 0, 0, scale, 0, 0)
    g.clearRect(0, 0, width, high)
    g.font = font
    g.textBaseline = 'alphabetic'
    const colours = {
      ink: cssVariable('--ink'),
      soft: cssVariable('--soft'),
      accent: cssVariable('--accent'),
      tint: Number(cssVariable('--tint')),
    }
    const top = element.scrollTop
    const first = Math.max(0, Math.floor((top - pad) / lineHeight))
    const last = Math.min(layout.lines - 1, Math.floor((top + high - pad) / lineHeight))
    for (let line = first; line <= last; line++) {
      const [from, to] = layout.range(line)
      const y = pad + line * lineHeight - top
      for (let i = from; i < to; i++)
        paintToken(g, tokens[i]!, pad + layout.at(i)!.x, y, layout.at(i)!.width, colourBy, colours, i === cursor.value)
    }
    g.strokeStyle = colours.soft
    for (const { at } of marks) {
      const place = layout.at(at)
      if (!place || place.line < first || place.line > last) continue
      const y = pad + place.line * lineHeight - top
      g.setLineDash([3, 2])
      g.beginPath()
      g.moveTo(pad + place.x - 0.5, y)
      g.lineTo(pad + place.x - 0.5, y + 31)
      g.stroke()
      g.setLineDash([])
    }
  }
  const frame = useRef(0)
  const soon = () => {
    cancelAnimationFrame(frame.current)
    frame.current = requestAnimationFrame(paint)
  }
  const followed = useRef(0)
  useEffect(() => {
    const element = box.current!
    // Follows the text as it grows, unless the reader looks elsewhere.
    const atEnd = element.scrollTop + element.clientHeight > followed.current - 2 * lineHeight
    if (total > followed.current && atEnd) element.scrollTop = total
    followed.current = total
    soon()
  }, [count, width, total, colourBy, cursor.value, painted.value, tokens, marks.length, typeface.value])

  const pointed = (event: MouseEvent) => {
    const { left, top } = box.current!.getBoundingClientRect()
    const line = Math.floor((event.clientY - top + box.current!.scrollTop - pad) / lineHeight)
    return layout.find(line, event.clientX - left - pad)
  }
  const move = (index: number) => {
    const next = Math.max(0, Math.min(count - 1, index))
    cursor.value = next
    const { line } = layout.at(next)!
    const element = box.current!
    const y = pad + line * lineHeight
    if (y < element.scrollTop) element.scrollTop = y - pad
    else if (y + lineHeight > element.scrollTop + element.clientHeight)
      element.scrollTop = y + lineHeight + pad - element.clientHeight
  }
  const keyed = (event: KeyboardEvent) => {
    if (count === 0) return
    const at = cursor.value ?? -1
    const place = layout.at(Math.max(0, at))!
    const lineMove = (by: number) => {
      const line = Math.max(0, Math.min(layout.lines - 1, place.line + by))
      const [from, to] = layout.range(line)
      let best = from
      for (let i = from; i < to; i++) if (layout.at(i)!.x <= place.x + 1) best = i
      return best
    }
    const next = {
      ArrowRight: () => at + 1,
      ArrowLeft: () => at - 1,
      ArrowDown: () => lineMove(1),
      ArrowUp: () => lineMove(-1),
      Home: () => 0,
      End: () => count - 1,
      PageDown: () => lineMove(8),
      PageUp: () => lineMove(-8),
    }[event.key]
    if (!next) return
    event.preventDefault()
    move(next())
  }

  return (
    <div>
      <div
        ref={box}
        class="tokens"
        style={{ height: `${height}px` }}
        tabIndex={0}
        role="group"
        aria-label={`${label}: ${count} tokens. Arrow keys walk through them; below is what each stream said.`}
        onScroll={soon}
        onMouseMove={(event) => {
          const found = pointed(event)
          if (found !== undefined) cursor.value = found
        }}
        onClick={(event) => {
          const found = pointed(event)
          if (found !== undefined) cursor.value = found
        }}
        onKeyDown={keyed}
      >
        <canvas ref={canvas} aria-hidden="true" style={{ width: '100%', height: `${height - 2}px` }} />
        <div style={{ height: `${Math.max(0, total - height + 2)}px` }} />
        {count === 0 && <p class="empty">{empty}</p>}
      </div>
      <Button
        class="quiet"
        aria-expanded={table}
        disabled={count === 0}
        onClick={() => {
          asTable.current = !asTable.current
          setTable(asTable.current)
        }}
      >
        {table ? 'Hide the table' : 'As a table'}
      </Button>
      {table && count > 0 && <TokenTable tokens={tokens} count={count} label={label} />}
    </div>
  )
}

interface Colours {
  readonly ink: string
  readonly soft: string
  readonly accent: string
  readonly tint: number
}

function paintToken(
  g: CanvasRenderingContext2D,
  token: Token,
  x: number,
  y: number,
  width: number,
  by: ColourBy,
  colours: Colours,
  here: boolean,
): void {
  const { weights } = token
  const p = weights.length
  if (p > 1) {
    const lead = leader(weights)
    g.fillStyle =
      by === 'stream'
        ? css(lead, colours.tint * (0.3 + 0.7 * Math.min(1, 2.5 * strength(weights))))
        : `rgb(213 94 0 / ${colours.tint * (by === 'entropy' ? Math.max(0, 2 * evenness(weights) - 1) : disagreement(token))})`
    g.fillRect(x, y, width - 0.5, 22)
    let left = x
    for (const [stream, weight] of weights.entries()) {
      g.fillStyle = `rgb(${hue(stream).join(',')})`
      const wide = weight * (width - 1.5)
      g.fillRect(left, y + 24, Math.max(0, wide), 5)
      left += wide
    }
  }
  const line = /\n/.test(token.text)
  g.fillStyle = line ? colours.soft : colours.ink
  g.fillText(drawn(token.text), x, y + 16)
  if (here) {
    g.strokeStyle = colours.accent
    g.lineWidth = 1.5
    g.strokeRect(x - 0.25, y - 1.25, width, 31.5)
    g.lineWidth = 1
  }
}

const pageSize = 40

function TokenTable({ tokens, count, label }: { tokens: readonly Token[]; count: number; label: string }) {
  const [page, setPage] = useState(0)
  const pages = Math.ceil(count / pageSize)
  const at = Math.min(page, pages - 1) * pageSize
  const p = tokens[at]?.weights.length ?? 1
  return (
    <div class="block">
      <div class="scroll" tabIndex={0} role="region" aria-label={`${label}, table`}>
        <table>
          <caption>
            Tokens {at + 1} to {Math.min(count, at + pageSize)} of {count}: weights of the streams, and how many of them would
            have said another token
          </caption>
          <thead>
            <tr>
              <th scope="col">Token</th>
              <th scope="col">Probability</th>
              {Array.from({ length: p }, (_, i) => (
                <th scope="col" key={`s${i + 1}`}>
                  {i + 1}
                </th>
              ))}
              <th scope="col">Others</th>
            </tr>
          </thead>
          <tbody>
            {tokens.slice(at, at + pageSize).map((token, i) => (
              <tr key={at + i}>
                <th scope="row">{shown(token.text)}</th>
                <td>{percent(Math.exp(token.logprob))}</td>
                {token.weights.map((weight, s) => (
                  <td key={s}>{percent(weight)}</td>
                ))}
                <td>
                  {token.choices.filter(({ id }) => id !== token.id).length} of {token.choices.length}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      <div class="row">
        <Button disabled={page <= 0} onClick={() => setPage(page - 1)}>
          Earlier
        </Button>
        <Button disabled={page >= pages - 1} onClick={() => setPage(page + 1)}>
          Later
        </Button>
      </div>
    </div>
  )
}

/** The whole text at a glance: time from left to right, a row for each stream, darker with more weight. */
export function Overview({
  tokens,
  version,
  onPick,
}: {
  tokens: readonly Token[]
  version: Signal<number>
  onPick: (index: number) => void
}) {
  const canvas = useRef<HTMLCanvasElement>(null)
  const [width, setWidth] = useState(0)
  const count = version.value >= 0 ? tokens.length : 0
  const p = Math.max(2, ...tokens.slice(-1).map(({ weights }) => weights.length))
  const rowHeight = 7
  useEffect(() => {
    const element = canvas.current!
    const observer = new ResizeObserver(() => setWidth(element.clientWidth))
    observer.observe(element)
    return () => observer.disconnect()
  }, [])
  useEffect(() => {
    const surface = canvas.current!
    if (width === 0) return
    surface.width = width
    surface.height = 8 * rowHeight
    const g = surface.getContext('2d')!
    g.clearRect(0, 0, width, surface.height)
    const { perColumn, wide } = overviewColumns(count, width)
    for (let column = 0; column * perColumn < count; column++) {
      // Whole pixels: each column begins where the one before ends, and the last ends at the edge.
      const [left, right] = [Math.round(column * wide), Math.round((column + 1) * wide)]
      const from = Math.floor(column * perColumn)
      const part = tokens.slice(from, Math.max(from + 1, Math.floor((column + 1) * perColumn)))
      for (let stream = 0; stream < Math.min(8, p); stream++) {
        const mean = part.reduce((sum, { weights }) => sum + (weights[stream] ?? 0), 0) / part.length
        g.fillStyle = css(stream, Math.min(1, 0.08 + (mean * p) / 2.4))
        g.fillRect(left, stream * rowHeight, right - left, rowHeight - 1)
      }
    }
  }, [count, width, painted.value, tokens])
  return (
    <canvas
      ref={canvas}
      class="overview"
      height={8 * rowHeight}
      style={{ height: `${8 * rowHeight}px` }}
      aria-hidden="true"
      onClick={(event) => {
        const { perColumn, wide } = overviewColumns(count, width)
        const index = Math.floor((event.offsetX / wide) * perColumn)
        if (index < count) onPick(index)
      }}
    />
  )
}

/** Columns of the overview: of one token and up to 10 pixels each where there is room, else of several tokens and one pixel. */
const overviewColumns = (count: number, width: number) => ({
  perColumn: Math.max(1, count / width),
  wide: Math.max(1, Math.min(10, width / Math.max(1, count))),
})

/** What the streams said of one token. */
export function TokenDetail({
  token,
  index,
  out,
}: {
  token: Token | undefined
  index: number | undefined
  out: readonly number[]
}) {
  if (!token || index === undefined)
    return (
      <div class="card detail">
        <h2>One token</h2>
        <p class="note">
          Point at a token, or walk with the arrow keys: here is what each stream would have said alone, and how much it weighed.
        </p>
      </div>
    )
  const p = token.weights.length
  return (
    <section class="card detail" aria-label="One token">
      <div class="head" aria-live="polite">
        <span class="word">{shown(token.text)}</span>
        <span class="note">
          token {index + 1} · probability {percent(Math.exp(token.logprob), 1)}
          {p > 1 && ` · led by stream ${leader(token.weights) + 1} with ${percent(Math.max(...token.weights))}`}
        </span>
      </div>
      {p === 1 ? (
        <p class="note">
          P = 1: the plain model, one stream. The most probable:{' '}
          {token.top.map(({ text, logprob }) => `${shown(text)} ${percent(Math.exp(logprob))}`).join(', ')}
        </p>
      ) : (
        <>
          <div class="streams" role="table" aria-label="What each stream said">
            <span role="row" style={{ display: 'contents' }} class="label">
              <span role="columnheader" class="label">
                <span class="unseen">Stream</span>
              </span>
              <span role="columnheader" class="label">
                weight
              </span>
              <span role="columnheader">
                <span class="unseen">share</span>
              </span>
              <span role="columnheader" class="label">
                alone it says
              </span>
              <span role="columnheader">
                <span class="unseen">with probability</span>
              </span>
            </span>
            {token.weights.map((weight, i) => {
              const choice = token.choices[i]
              const other = choice !== undefined && choice.id !== token.id
              return (
                <span role="row" style={{ display: 'contents' }} key={i}>
                  <span role="cell">{i + 1}</span>
                  <span role="cell">
                    <span class="bar" style={{ display: 'block' }}>
                      <i style={{ width: percent(weight, 1), background: css(i) }} />
                    </span>
                  </span>
                  <span role="cell" class="num">
                    {out.includes(i) ? 'out' : percent(weight)}
                  </span>
                  <span role="cell" class={`says ${other ? 'other' : ''}`}>
                    {choice ? shown(choice.token) : ''}
                    {other && <span class="unseen"> (another token)</span>}
                  </span>
                  <span role="cell" class="num">
                    {choice ? percent(Math.exp(choice.logprob)) : ''}
                  </span>
                </span>
              )
            })}
          </div>
          <p class="note" style={{ marginTop: '10px' }}>
            {percent(disagreement(token))} of the streams, alone, would say another token (bold). Evenness of the weights{' '}
            {evenness(token.weights).toFixed(2)} (1: all alike). Together the most probable:{' '}
            {token.top
              .slice(0, 3)
              .map(({ text, logprob }) => `${shown(text)} ${percent(Math.exp(logprob))}`)
              .join(', ')}
          </p>
        </>
      )}
    </section>
  )
}
