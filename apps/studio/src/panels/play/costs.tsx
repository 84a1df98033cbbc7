/** Time per token and memory, by P, as they were here. */
import { useSignal } from '@preact/signals'
import { useEffect } from 'preact/hooks'
import { connection, type InPage, inPage, json, type ModelInfo } from '../../api.ts'
import { bytes } from '../../streams.ts'
import { pace, type TraceRun } from '../../trace.ts'

export function Costs({ model, runs }: { model: ModelInfo | undefined; runs: readonly TraceRun[] }) {
  const now = useSignal<{ cacheBytes: number; bytes: number } | undefined>(undefined)
  const running = runs.some(({ state }) => state.value === 'running')
  const page = inPage.value?.about.id === model?.id ? inPage.value : undefined
  useEffect(() => {
    now.value = undefined
    if (!page && connection.value !== 'here') return
    let stopped = false
    const look = async () => {
      try {
        now.value = page ? await inThePage(page) : await inTheServer(model?.id)
      } catch {
        // The connection says so.
      }
      if (!stopped) timer = setTimeout(look, running ? 700 : 5000)
    }
    let timer = setTimeout(look, 0)
    return () => {
      stopped = true
      clearTimeout(timer)
    }
  }, [running, connection.value, page?.about])
  const all = model?.p ?? []
  const base = pace.value.get(1)?.ms
  const context = 1024
  return (
    <section class="card" aria-labelledby="cost-title">
      <h2 id="cost-title">What it costs here</h2>
      <table style={{ marginTop: '8px' }}>
        <thead>
          <tr>
            <th scope="col">P</th>
            <th scope="col">ms a token</th>
            <th scope="col">of P = 1</th>
            <th scope="col">KV, 1K</th>
          </tr>
        </thead>
        <tbody>
          {all.map((p) => {
            const found = pace.value.get(p)
            return (
              <tr key={p}>
                <td>{p}</td>
                <td>{found ? found.ms.toFixed(2) : '–'}</td>
                <td>{found && base ? `${(found.ms / base).toFixed(2)}×` : '–'}</td>
                <td>{model?.bytesPerPosition ? bytes(p * context * model.bytesPerPosition) : '–'}</td>
              </tr>
            )
          })}
        </tbody>
      </table>
      <p class="note" style={{ marginTop: '10px' }}>
        Means of the texts that ran alone, the way to this page included. KV: keys and values of 1,024 tokens.
      </p>
      <dl class="stats" style={{ marginTop: '12px', gridTemplateColumns: '1fr 1fr' }}>
        <div>
          <dt>keys and values now</dt>
          <dd>{now.value ? bytes(now.value.cacheBytes) : '–'}</dd>
        </div>
        <div>
          <dt>{page ? 'weights in this page' : 'memory of the server'}</dt>
          <dd>{now.value ? bytes(now.value.bytes) : '–'}</dd>
        </div>
      </dl>
    </section>
  )
}

async function inThePage(page: InPage) {
  const { cacheBytes, weightBytes } = await page.memory()
  return { cacheBytes, bytes: weightBytes }
}

async function inTheServer(model: string | undefined) {
  const { rssBytes, models } = await json<{ rssBytes: number; models: { id: string; cacheBytes: number }[] }>('/studio/now')
  return { cacheBytes: models.find(({ id }) => id === model)?.cacheBytes ?? 0, bytes: rssBytes }
}
