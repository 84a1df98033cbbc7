/** Controls that several panels share. */
import type { ComponentChildren } from 'preact'
import { useEffect, useId, useState } from 'preact/hooks'
import { headOf, type PanelName } from './heads.ts'
import { inTurn } from './in-turn.ts'
import { css } from './streams.ts'

export function PanelHead({ name }: { name: PanelName }) {
  const { heading, lead } = headOf(name)!
  return (
    <div>
      <h1>{heading}</h1>
      {lead && <p class="lead">{lead}</p>}
    </div>
  )
}

/** What is further down, drawn in a task of its own once the rest is there. */
export function Later({ height, children }: { height: number; children: ComponentChildren }) {
  const [due, setDue] = useState(false)
  useEffect(() => inTurn(() => setDue(true)), [])
  return due ? children : <div style={{ minHeight: `${height}px` }} />
}

export function Segments<T extends string>({
  label,
  name,
  value,
  options,
  onChange,
  disabled = false,
}: {
  label: string
  name: string
  value: T
  options: readonly (readonly [T, string])[]
  onChange: (value: T) => void
  disabled?: boolean
}) {
  const id = useId()
  return (
    <div class="field" role="radiogroup" aria-labelledby={id}>
      <span class="label" id={id}>
        {label}
      </span>
      <span class="segments">
        {options.map(([option, text]) => (
          <label key={option}>
            <input
              type="radio"
              name={`${name}-${id}`}
              value={option}
              checked={option === value}
              disabled={disabled}
              onChange={() => onChange(option)}
            />
            {text}
          </label>
        ))}
      </span>
    </div>
  )
}

export function Chips({
  labelledBy,
  p,
  out,
  onToggle,
}: {
  labelledBy: string
  p: number
  out: readonly number[]
  onToggle: (stream: number) => void
}) {
  return (
    <div class="chips" role="group" aria-labelledby={labelledBy}>
      {Array.from({ length: p }, (_, i) => (
        <button
          type="button"
          class="chip"
          key={i}
          aria-pressed={out.includes(i)}
          aria-label={`Stream ${i + 1}${out.includes(i) ? ', knocked out' : ''}`}
          onClick={() => onToggle(i)}
        >
          <i style={{ background: css(i) }} aria-hidden="true" />
          {i + 1}
        </button>
      ))}
    </div>
  )
}

/** A place to drop files, which is a button as well. */
export function Drop({
  children,
  onFiles,
  accept,
  multiple = false,
  label,
}: {
  children: ComponentChildren
  /** `drop`, where they were dropped, has folders too. It is to be read at once: the browser forgets it. */
  onFiles: (files: File[], drop?: DataTransfer) => void
  accept?: string
  multiple?: boolean
  label: string
}) {
  const [over, setOver] = useState(false)
  const id = useId()
  return (
    <div
      class={`drop ${over ? 'over' : ''}`}
      onDragOver={(event) => {
        event.preventDefault()
        setOver(true)
      }}
      onDragLeave={() => setOver(false)}
      onDrop={(event) => {
        event.preventDefault()
        setOver(false)
        const files = [...(event.dataTransfer?.files ?? [])]
        if (files.length > 0) onFiles(files, event.dataTransfer!)
      }}
    >
      <div class="row" style={{ alignItems: 'center' }}>
        <label class="button" for={id}>
          {label}
        </label>
        <input
          id={id}
          type="file"
          class="unseen"
          accept={accept}
          multiple={multiple}
          onChange={(event) => {
            const files = [...(event.currentTarget.files ?? [])]
            event.currentTarget.value = ''
            if (files.length > 0) onFiles(files)
          }}
        />
        <span style={{ flex: '1 1 200px' }}>{children}</span>
      </div>
    </div>
  )
}

/** Bounds hold as soon as the field is left. */
export function NumberField({
  id,
  label,
  value,
  least,
  most,
  step = 1,
  onChange,
}: {
  id: string
  label: string
  value: number
  least: number
  most: number
  step?: number
  onChange: (value: number) => void
}) {
  return (
    <div class="field">
      <label for={id}>{label}</label>
      <input
        id={id}
        type="number"
        min={least}
        max={most}
        step={step}
        value={value}
        // While it is typed as well: the page may be drawn anew before the field is left.
        onInput={(event) => {
          const next = event.currentTarget.valueAsNumber
          if (next >= least && next <= most) onChange(next)
        }}
        onChange={(event) => {
          const next = event.currentTarget.valueAsNumber
          if (Number.isFinite(next)) onChange(Math.min(most, Math.max(least, next)))
        }}
      />
    </div>
  )
}

export const sentence = (text: string) => `${text.charAt(0).toUpperCase()}${text.slice(1)}`
