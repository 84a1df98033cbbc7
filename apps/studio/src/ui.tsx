/** Controls that several panels share. */
import type { ComponentChildren } from 'preact'
import { useEffect, useId, useRef, useState } from 'preact/hooks'
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

/**
 * A button that can be off. One that goes off while it has the focus says so, does nothing and keeps the focus until it is left:
 * a disabled element loses it.
 */
export function Button({
  disabled = false,
  onClick,
  children,
  ...rest
}: {
  class?: 'main' | 'quiet'
  'aria-expanded'?: boolean
  'aria-label'?: string
  disabled?: boolean
  onClick: () => void
  children: ComponentChildren
}) {
  const button = useRef<HTMLButtonElement>(null)
  const [, setLeft] = useState(0)
  const keeps = disabled && button.current !== null && document.activeElement === button.current
  return (
    <button
      type="button"
      {...rest}
      ref={button}
      disabled={disabled && !keeps}
      aria-disabled={keeps || undefined}
      onClick={() => {
        if (!disabled) onClick()
      }}
      onBlur={() => setLeft((times) => times + 1)}
    >
      {children}
    </button>
  )
}

export function Segments<T extends string>({
  label,
  name,
  value,
  options,
  onChange,
}: {
  label: string
  name: string
  value: T
  options: readonly (readonly [T, string])[]
  onChange: (value: T) => void
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
  onFiles: (files: File[], drop?: DataTransfer) => void | Promise<void>
  accept?: string
  multiple?: boolean
  label: string
}) {
  const [over, setOver] = useState(false)
  const [problem, setProblem] = useState('')
  const id = useId()
  const take = async (files: File[], drop?: DataTransfer) => {
    setProblem(files.length === 0 ? 'That is no file. Drop a file, or choose one.' : '')
    if (files.length === 0) return
    try {
      await onFiles(files, drop)
    } catch (error) {
      // Panels say what is wrong with what they have read; this is what could not be read.
      setProblem(
        `${files[0]!.name} cannot be read: it is a folder, or is gone or locked on the disk (${(error as Error).message}). Choose a file, or choose it again.`,
      )
    }
  }
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
        void take([...(event.dataTransfer?.files ?? [])], event.dataTransfer!)
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
            if (files.length > 0) void take(files)
          }}
        />
        <span style={{ flex: '1 1 200px' }} aria-live="polite">
          {children}
        </span>
      </div>
      {problem && (
        <p class="message" role="alert" style={{ marginTop: '12px' }}>
          {problem}
        </p>
      )}
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

/** With a capital; a name of a file stays as it is. */
export const sentence = (text: string) => (/^[^\s:]*[./]/.test(text) ? text : `${text.charAt(0).toUpperCase()}${text.slice(1)}`)
