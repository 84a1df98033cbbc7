/** Charts whose program comes with the first of them, as most who open their panel see none; their room is kept. */
import { signal } from '@preact/signals'
import type { ComponentType } from 'preact'
import { useEffect } from 'preact/hooks'
import type { LiveChartProps } from './live-chart.tsx'
import type { XyChartProps } from './xy-chart.tsx'

function whenThere<Props extends object>(
  load: () => Promise<ComponentType<Props>>,
  height: (props: Props) => number,
): ComponentType<Props> {
  const there = signal<ComponentType<Props> | 'missing' | undefined>(undefined)
  return (props: Props) => {
    useEffect(() => {
      if (typeof there.value === 'function') return
      load().then(
        (found) => (there.value = found),
        () => (there.value = 'missing'),
      )
    }, [])
    const Chart = there.value
    if (typeof Chart === 'function') return <Chart {...props} />
    return (
      <div style={{ height: `${height(props)}px` }}>
        {Chart === 'missing' && <p class="message">The chart could not be fetched: the server does not answer.</p>}
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
