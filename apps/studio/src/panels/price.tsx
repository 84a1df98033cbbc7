/** The price: what fits a device and a budget, what it costs by calculation and by measurement, and where parallel scaling loses. */

import { type Candidate, type Device, devices, type Plan } from '@parscale/core/cost'
// Built in one with core, and not among what it promises: the page may read more than a stranger.
import { figure4Batches, headline } from '@parscale/core/internal/cost'
import { useSignal } from '@preact/signals'
import { useMemo } from 'preact/hooks'
import { Legend } from '../charts/legend.tsx'
import { XyChart } from '../charts/xy-chart.tsx'
import { bytes, css, extent, short } from '../streams.ts'
import { Drop, Later, PanelHead, sentence } from '../ui.tsx'
import { fitted } from './law-fits.ts'
import { usePlan } from './plans.ts'

/** What `parscale bench --json` writes, as far as it is read here. */
interface BenchFile {
  readonly machine: { readonly cpu: string; readonly device?: Device }
  readonly rows: readonly {
    readonly model: string
    readonly bits: number
    readonly engine: string
    readonly p: number
    readonly batch: number
    readonly context: number
    readonly msPerToken: number
    readonly peakMemoryBytes: number
    readonly allowedMemoryBytes?: number
    readonly limit?: { readonly msPerToken: number; readonly binds: string }
  }[]
}

const streams = [1, 2, 4, 8]
const colourOf = (p: number) => css([4, 0, 2, 5][Math.round(Math.log2(p))] ?? 6)
const kinds = [...new Set(devices.map(({ kind }) => kind))]

export function Price() {
  const name = useSignal('raspberry-pi-5')
  const memory = useSignal(4)
  const time = useSignal(400)
  const bench = useSignal<BenchFile | undefined>(undefined)
  const problem = useSignal('')
  const measured = bench.value?.machine.device
  const device =
    name.value === 'measured' && measured ? measured : (devices.find((each) => each.name === name.value) ?? devices[0]!)

  const plan = usePlan(fitted.value, {
    device,
    budget: { memoryBytes: memory.value * 1e9, secondsPerToken: time.value / 1000 },
    streams,
  })

  const readBench = async (file: File) => {
    problem.value = ''
    const text = await file.text()
    try {
      if (text.trim() === '') throw new Error('it is empty')
      const parsed = benchOf(parsedJson(text))
      bench.value = parsed
      if (parsed.machine.device) name.value = 'measured'
    } catch (error) {
      problem.value = `${file.name} is no result of a bench (${(error as Error).message}). Make one: parscale bench --p 1,2,4,8 --json > bench.json${bench.value ? '. The one before stays.' : ''}`
    }
  }
  return (
    <div class="panel">
      <PanelHead name="price" />
      <div class="row">
        <div class="field" style={{ flex: '0 1 320px' }}>
          <label for="device">Device</label>
          <select id="device" value={name.value} onChange={(event) => choose(event.currentTarget.value)}>
            {measured && (
              <optgroup label="measured">
                <option value="measured">{`${measured.title}, ${bench.value!.machine.cpu}`}</option>
              </optgroup>
            )}
            {kinds.map((kind) => (
              <optgroup label={kind} key={kind}>
                {devices
                  .filter((each) => each.kind === kind)
                  .map((each) => (
                    <option value={each.name} key={each.name}>
                      {each.title}
                    </option>
                  ))}
              </optgroup>
            ))}
          </select>
        </div>
        <div class="field" style={{ flex: '1 1 220px' }}>
          <label for="memory">Memory, at most: {memory.value.toPrecision(3)} GB</label>
          <input
            id="memory"
            type="range"
            min={Math.log(0.3)}
            max={Math.log(200)}
            step={0.01}
            value={Math.log(memory.value)}
            aria-valuetext={`${memory.value.toPrecision(3)} gigabytes`}
            onInput={(event) => (memory.value = Math.exp(event.currentTarget.valueAsNumber))}
          />
        </div>
        <div class="field" style={{ flex: '1 1 220px' }}>
          <label for="time">Time a token, at most: {time.value.toPrecision(3)} ms</label>
          <input
            id="time"
            type="range"
            min={Math.log(0.5)}
            max={Math.log(5000)}
            step={0.01}
            value={Math.log(time.value)}
            aria-valuetext={`${time.value.toPrecision(3)} milliseconds`}
            onInput={(event) => (time.value = Math.exp(event.currentTarget.valueAsNumber))}
          />
        </div>
      </div>
      {plan === undefined ? (
        // What comes with the first plan moves nothing.
        <div aria-busy="true" style={{ minHeight: '100vh' }} />
      ) : (
        <>
          {typeof plan === 'string' ? (
            <div style={{ minHeight: '560px' }}>
              <p class="message" role="alert">
                {sentence(plan)}. Choose another device, or more memory and time.
              </p>
            </div>
          ) : (
            <Front plan={plan} device={device} />
          )}
          <section class="block" aria-labelledby="measured-title">
            <h2 id="measured-title">Computed beside measured</h2>
            <Drop
              label="Choose a bench result"
              accept=".json,application/json"
              onFiles={async ([file]) => await readBench(file!)}
            >
              or drop what <code>parscale bench --p 1,2,4,8 --json</code> wrote
            </Drop>
            {problem.value && (
              <p class="message" role="alert">
                {problem.value}
              </p>
            )}
            <p class="unseen" role="status">
              {bench.value && `${bench.value.rows.length} measurements of ${bench.value.machine.cpu} are shown.`}
            </p>
            {bench.value && <Measured bench={bench.value} />}
          </section>
          <Later height={420}>
            <Figure4 />
          </Later>
        </>
      )}
    </div>
  )

  function choose(next: string) {
    name.value = next
    const found = devices.find((each) => each.name === next)
    // A budget that the device can meet.
    if (found) memory.value = Math.min(200, found.memoryBytes / 1e9 / 2)
    if (found) time.value = Math.min(5000, Math.max(0.5, (2e9 / found.bytesPerSecond) * 3000))
  }
}

function parsedJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw new Error(`it is no JSON: it begins with ${JSON.stringify(text.slice(0, 20))}`)
  }
}

/** Whether a file has what is read of it here: it may be from another program, another version or half a file. */
function benchOf(parsed: unknown): BenchFile {
  const file = parsed as Partial<BenchFile> | null
  const isNumber = (value: unknown): value is number => typeof value === 'number' && Number.isFinite(value)
  if (!Array.isArray(file?.rows) || file.rows.length === 0) throw new Error('it has no rows of a bench')
  for (const [i, row] of (file as BenchFile).rows.entries())
    for (const key of ['msPerToken', 'p', 'batch', 'peakMemoryBytes'] as const)
      if (!isNumber(row?.[key])) throw new Error(`row ${i + 1} has no number ${key}`)
  const { machine, rows } = file as BenchFile
  if (typeof machine?.cpu !== 'string') throw new Error('it says nothing of the machine')
  const device = machine.device
  const isDevice =
    device &&
    typeof device.title === 'string' &&
    [device.memoryBytes, device.bytesPerSecond, device.flopsPerSecond].every(isNumber)
  return {
    machine: { cpu: machine.cpu, ...(isDevice && { device }) },
    rows: rows.map(({ limit, ...row }) => ({ ...row, ...(isNumber(limit?.msPerToken) && { limit }) })),
  }
}

const key = ({ N, P, format }: Candidate) => `${N} ${P} ${format.name}`

function Front({ plan, device }: { plan: Plan; device: Device }) {
  const { best, pareto } = plan
  const times = pareto.map(({ secondsPerToken }) => 1000 * secondsPerToken)
  const losses = pareto.map(({ loss }) => loss)
  const [fast, slow] = extent(times)
  const [least, most] = extent(losses)
  const series = streams.map((p) => ({
    name: `P = ${p}`,
    colour: colourOf(p),
    dots: pareto.filter(({ P }) => P === p).map(({ secondsPerToken, loss }) => [1000 * secondsPerToken, loss] as const),
    radius: 4.5,
  }))
  const onFront = streams.map((p) => ({ p, n: pareto.filter(({ P }) => P === p).length }))
  const spread = pareto.filter((_, i) => i === 0 || i % Math.ceil(pareto.length / 12) === 0).slice(0, 13)
  return (
    <section class="block" aria-labelledby="front-title">
      <h2 id="front-title">What fits: {device.title}</h2>
      <p class="answer" aria-live="polite">
        Lowest loss: <strong>{short(best.N)}</strong> parameters with <strong>P = {best.P}</strong> in{' '}
        <strong>{best.format.name}</strong>, loss <strong>{best.loss.toFixed(3)}</strong>, {bytes(best.memoryBytes)},{' '}
        {(1000 * best.secondsPerToken).toPrecision(3)} ms a token; {best.binds === 'compute' ? 'arithmetic' : 'memory bandwidth'}{' '}
        is what takes the time.
      </p>
      <div class="two">
        <div class="block">
          <XyChart
            label="The Pareto front: loss over time a token, by P"
            series={series}
            x={{ label: 'ms a token', log: true, domain: [fast / 1.25, slow * 1.25], format: (value) => short(value) }}
            y={{
              label: 'loss, nats a token',
              domain: [least - 0.05 * (most - least + 0.01), most + 0.05 * (most - least + 0.01)],
              format: (value) => value.toFixed(2),
            }}
            height={360}
            over={({ x, y }) => (
              <circle
                cx={x(1000 * best.secondsPerToken)}
                cy={y(best.loss)}
                r="9"
                fill="none"
                stroke="var(--ink)"
                stroke-width="2"
              />
            )}
          />
          <Legend series={series} />
          <p class="note">
            {pareto.length} of {plan.feasible} that fit are beaten by none;{' '}
            {onFront.map(({ p, n }) => `${n} with P = ${p}`).join(', ')}. The ring is the lowest loss. By calculation (a roofline:
            a lower bound): one request, 512 tokens in, 128 out.
          </p>
        </div>
        <div class="scroll" tabIndex={0} role="region" aria-label="The front as a table">
          <table>
            <thead>
              <tr>
                <th scope="col">N</th>
                <th scope="col">P</th>
                <th scope="col">weights</th>
                <th scope="col">loss</th>
                <th scope="col">memory</th>
                <th scope="col">ms</th>
              </tr>
            </thead>
            <tbody>
              {spread.map((one) => (
                <tr key={key(one)} class={one === best ? 'best' : ''}>
                  <th scope="row">{short(one.N)}</th>
                  <td>{one.P}</td>
                  <td>{one.format.name}</td>
                  <td>{one.loss.toFixed(3)}</td>
                  <td>{bytes(one.memoryBytes)}</td>
                  <td>{(1000 * one.secondsPerToken).toPrecision(3)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      </div>
    </section>
  )
}

function Measured({ bench }: { bench: BenchFile }) {
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label="Measured beside computed">
      <table>
        <caption>{bench.machine.cpu}: computed is what the machine's measured bandwidth and arithmetic allow at best</caption>
        <thead>
          <tr>
            <th scope="col">Model</th>
            <th scope="col">P</th>
            <th scope="col">batch</th>
            <th scope="col">ms computed</th>
            <th scope="col">ms measured</th>
            <th scope="col">times</th>
            <th scope="col">memory</th>
          </tr>
        </thead>
        <tbody>
          {bench.rows.map((row, i) => (
            <tr key={i}>
              <th scope="row">
                {row.model}, {row.bits} bits, {row.engine}
              </th>
              <td>{row.p}</td>
              <td>{row.batch}</td>
              <td>{row.limit ? row.limit.msPerToken.toPrecision(3) : '–'}</td>
              <td>{row.msPerToken.toPrecision(3)}</td>
              <td>{row.limit ? (row.msPerToken / row.limit.msPerToken).toFixed(1) : '–'}</td>
              <td>{bytes(row.peakMemoryBytes)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  )
}

/** The paper's Figure 4 as numbers: 1.6B with 8 streams beside the larger model of equal loss, for each batch size and all together. */
function Figure4() {
  const rows = useMemo(
    () => [
      ...figure4Batches.map((batch) => ({ name: `batch ${batch}`, ...headline([batch]) })),
      { name: 'all batches', ...headline(figure4Batches) },
    ],
    [],
  )
  const ms = (seconds: number) => seconds.toFixed(2)
  return (
    <section class="block" aria-labelledby="figure4-title">
      <h2 id="figure4-title">Figure 4, batch by batch</h2>
      <p class="note">
        By the paper's cost model: what is added to the 1.6B model of P = 1 by eight streams, and by the size that has the same
        loss. A ratio above 1 says that streams are the cheaper way; where it is below 1 they lose, as arithmetic then takes
        longer than reading weights.
      </p>
      <div class="scroll" tabIndex={0} role="region" aria-label="Figure 4 as a table">
        <table class="dense">
          <thead>
            <tr>
              <td />
              <th scope="colgroup" colSpan={3} class="group">
                Memory
              </th>
              <th scope="colgroup" colSpan={3} class="group">
                Time of a request
              </th>
            </tr>
            <tr>
              <th scope="col">Requests</th>
              <th scope="col">P = 8 adds</th>
              <th scope="col">size adds</th>
              <th scope="col">ratio</th>
              <th scope="col">P = 8 adds</th>
              <th scope="col">size adds</th>
              <th scope="col">ratio</th>
            </tr>
          </thead>
          <tbody>
            {rows.map(({ name, memory, latency }) => (
              <tr key={name} class={latency.ratio < 1 || memory.ratio < 1 ? 'loses' : ''}>
                <th scope="row">
                  {name}
                  {latency.ratio < 1 && ': streams lose in time'}
                </th>
                <td>{bytes(memory.parallel - memory.base)}</td>
                <td>{bytes(memory.parameterScaling - memory.base)}</td>
                <td>{memory.ratio.toFixed(1)}×</td>
                <td>{ms(latency.parallel - latency.base)} s</td>
                <td>{ms(latency.parameterScaling - latency.base)} s</td>
                <td>{latency.ratio.toFixed(2)}×</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  )
}
