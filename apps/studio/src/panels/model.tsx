/** What is loaded, on which machine; the model in the page; and a place to drop another. */
import { useSignal } from '@preact/signals'
import { useEffect } from 'preact/hooks'
import { connection, info, inPage, json, type ModelInfo, trouble } from '../api.ts'
import { bytes } from '../streams.ts'
import { PanelHead, sentence } from '../ui.tsx'
import { DropModel } from './model/drop-model.tsx'
import { InThisPage } from './model/in-this-page.tsx'
import { ModelCard, Stat } from './model/model-card.tsx'

export function ModelPanel() {
  const about = info.value
  const models: readonly ModelInfo[] = about?.models ?? []
  // The panel may be there before the server has said what it has: what that makes taller is to move nothing.
  if (connection.value === 'connecting')
    return (
      <div class="panel">
        <PanelHead name="model" />
        <div aria-busy="true" style={{ minHeight: '100vh' }} />
      </div>
    )
  return (
    <div class="panel">
      <PanelHead name="model" />
      <section class="block" aria-labelledby="loaded-title" style={{ minHeight: '260px' }}>
        <h2 id="loaded-title">{about?.static ? 'Recorded' : 'In the server'}</h2>
        {connection.value === 'gone' && (
          <p class="message" role="status">
            {sentence(trouble.value)}; it is looked for.
          </p>
        )}
        {models.map((model) => (
          <ModelCard model={model} key={model.id} />
        ))}
      </section>
      <InThisPage />
      <DropModel />
      {about && <Machine />}
    </div>
  )
}

/** Free memory is asked for anew: a model that was loaded takes some of it. */
function Machine() {
  const about = info.value!
  const free = useSignal(about.machine.freeBytes)
  useEffect(() => {
    if (connection.value !== 'here') return
    const look = () =>
      json<{ freeBytes: number }>('/studio/now').then(
        ({ freeBytes }) => (free.value = freeBytes),
        // The connection says so.
        () => {},
      )
    void look()
    const timer = setInterval(look, 5000)
    return () => clearInterval(timer)
  }, [connection.value, inPage.value])
  return (
    <section class="block" aria-labelledby="machine-title">
      <h2 id="machine-title">{about.static ? 'Recorded on' : 'This machine'}</h2>
      <dl class="stats">
        <Stat name="processor" value={about.machine.cpu} small />
        <Stat name="threads" value={String(about.machine.cores)} />
        <Stat name="memory" value={bytes(about.machine.memoryBytes)} />
        {!about.static && <Stat name="of it free" value={bytes(free.value)} />}
        <Stat name="system" value={`${about.machine.platform}, Node ${about.machine.node}`} small />
      </dl>
    </section>
  )
}
