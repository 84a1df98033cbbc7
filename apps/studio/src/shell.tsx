/** The frame around the panels: where one is, what answers, light or dark. */
import type { ComponentChildren, ComponentType } from 'preact'
import { useEffect, useErrorBoundary, useRef, useState } from 'preact/hooks'
import { connection, info, inPage, trouble } from './api.ts'
import { part } from './fetched.ts'
import { headOf, heads, type PanelName } from './heads.ts'
import { Guide } from './panels/guide.tsx'
import { Play } from './panels/play.tsx'
import { route } from './route.ts'
import { painted, setTheme, type Theme, theme } from './theme.ts'
import { PanelHead, sentence } from './ui.tsx'

/** What is needed at once is here, the rest comes when it is asked for. */
const lazy: Readonly<Record<string, () => Promise<ComponentType>>> = {
  law: () => import('./panels/law.tsx').then(({ LawPanel }) => LawPanel),
  price: () => import('./panels/price.tsx').then(({ Price }) => Price),
  training: () => import('./panels/training.tsx').then(({ Training }) => Training),
  model: () => import('./panels/model.tsx').then(({ ModelPanel }) => ModelPanel),
}

export function Shell() {
  const { name } = route.value
  const main = useRef<HTMLElement>(null)
  const first = useRef(true)
  useEffect(() => {
    document.title = `${headOf(name)?.title ?? 'Studio'} · ParScale studio`
    if (first.current) first.current = false
    else {
      main.current?.focus({ preventScroll: true })
      scrollTo(0, 0)
    }
  }, [name])
  // A page that runs the model itself is to need no server for its panels either.
  const alone = inPage.value !== undefined
  useEffect(() => {
    if (alone) for (const load of Object.values(lazy)) load().catch(() => {})
  }, [alone])
  return (
    <>
      <button type="button" class="skip" onClick={() => main.current?.focus()}>
        To the panel
      </button>
      <div class="shell">
        <header class="side">
          <div class="top">
            <a class="brand" href="#/guide">
              <img src="./icon.svg" alt="" width="24" height="24" />
              ParScale studio
            </a>
            <PhoneTheme />
          </div>
          <nav aria-label="Panels">
            <ul>
              {heads.map((panel) => (
                <li key={panel.name}>
                  <a href={`#/${panel.name}`} aria-current={panel.name === name ? 'page' : undefined}>
                    {panel.title}
                  </a>
                </li>
              ))}
            </ul>
          </nav>
          <div class="foot">
            <Status />
            <div class="field">
              <label for="theme">Colours</label>
              <select id="theme" value={theme.value} onChange={(event) => setTheme(event.currentTarget.value as Theme)}>
                <option value="system">As the system</option>
                <option value="light">Light</option>
                <option value="dark">Dark</option>
              </select>
            </div>
          </div>
        </header>
        <main id="main" tabIndex={-1} ref={main}>
          <Whole key={name}>{name === 'guide' ? <Guide /> : name === 'play' ? <Play /> : <Lazy name={name} />}</Whole>
        </main>
      </div>
    </>
  )
}

/** A panel that cannot be drawn says so, and leaves the others as they are. */
function Whole({ children }: { children: ComponentChildren }) {
  const [error, again] = useErrorBoundary()
  if (error === undefined) return <>{children}</>
  return (
    <div class="panel">
      <h1>This panel could not be drawn</h1>
      <p class="message" role="alert">
        {sentence(error instanceof Error ? error.message : String(error))}. It is a fault of this page; the other panels work.{' '}
        <button type="button" onClick={again}>
          Try again
        </button>
      </p>
    </div>
  )
}

/** The choice of colours where there is no room for the column's foot. */
function PhoneTheme() {
  // The system may change its mind.
  void painted.value
  const dark = theme.value === 'dark' || (theme.value === 'system' && matchMedia('(prefers-color-scheme: dark)').matches)
  return (
    <button type="button" class="quiet phone" onClick={() => setTheme(dark ? 'light' : 'dark')}>
      {dark ? 'Light' : 'Dark'}
    </button>
  )
}

function Status() {
  const words = {
    connecting: 'looking for the server',
    here: 'the server answers',
    gone: `${trouble.value}; trying again`,
    alone: 'no server: recorded traces',
  }
  return (
    <p role="status">
      <span class={`dot ${inPage.value ? 'here' : connection.value}`} />
      {inPage.value ? `in this page: ${inPage.value.runs}` : words[connection.value]}
      <br />
      {info.value ? `parscale ${info.value.version}` : '\u00a0'}
    </p>
  )
}

function Lazy({ name }: { name: string }) {
  const [Panel, setPanel] = useState<ComponentType>()
  const [problem, setProblem] = useState('')
  // Names of an address may be anything, also what every object has.
  const load = Object.hasOwn(lazy, name) ? lazy[name] : undefined
  const fetchIt = () => {
    if (!load) return
    part(load).then(
      (panel) => setPanel(() => panel),
      (error: Error) => setProblem(error.message),
    )
  }
  // And anew where the server is back.
  useEffect(() => {
    if (!Panel) fetchIt()
  }, [name, connection.value])
  if (!load)
    return (
      <div class="panel">
        <h1>There is no panel of this name</h1>
        <p>
          The address asks for “{name.slice(0, 40)}”; the panels are {heads.map(({ title }) => title).join(', ')}.
        </p>
        <p>
          <a href="#/guide">Begin with the guided minute</a>
        </p>
      </div>
    )
  if (Panel) return <Panel />
  if (problem)
    return (
      <div class="panel">
        <PanelHead name={name as PanelName} />
        <p class="message" role="alert">
          {sentence(problem)}.{' '}
          <button type="button" onClick={fetchIt}>
            Try again
          </button>
        </p>
      </div>
    )
  return (
    <div class="panel" aria-busy="true" style={{ minHeight: '100vh', alignContent: 'start' }}>
      <PanelHead name={name as PanelName} />
    </div>
  )
}
