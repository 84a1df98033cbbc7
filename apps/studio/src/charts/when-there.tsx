/** Charts whose program comes with the first of them, as most who open their panel see none; their room is kept. */
import { signal } from '@preact/signals'
import type { ComponentType } from 'preact'
import { useEffect } from 'preact/hooks'
import { connection } from '../api.ts'
import { part } from '../fetched.ts'
import type { LiveChartProps } from './live-chart.tsx'
import type { XyChartProps } from './xy-chart.tsx'

function whenThere<Props extends object>(
  load: () => Promise<ComponentType<Props>>,
  height: (props: Props) => number,
): ComponentType<Props> {
  const there = signal<ComponentType<Props> | string | undefined>(undefined)
  return (props: Props) => {
    useEffect(() => {
      if (typeof there.value === 'function') return
      part(load).then(
        (found) => (there.value = found),
        (error: Error) => (there.value = error.message),
      )
      // A server that is back is asked again.
    }, [connection.value])
    const Chart = there.value
    if (typeof Chart === 'function') return <Chart {...props} />
    return (
      <div style={{ height: `${height(props)}px` }}>
        {Chart !== undefined && <p class="message">The chart is not here: {Chart}.</p>}
      </div>
    )
  }
}

export const LiveChart = whenThere<LiveChartProps>(
  () => import('./live-chart.tsx').then(({ LiveChart }) => LiveChart),
  () => 220,
)
export const XyChart = whenThere<XyChartProps>(
  () => import('./xy-chart.tsx').then(({ XyChart }) => XyChart),
  ({ height = 380 }) => height,
)
