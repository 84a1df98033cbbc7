/** Held-out loss over tokens: colours tell variants, dashes tell seeds. */
import type { Chart } from '@parscale/core/internal/law'

/** A line of metrics.jsonl, as far as it is read here. */
export interface Metric {
  readonly kind: string
  readonly step: number
  readonly loss: number
  readonly tokens: number
  readonly seconds?: number
}

type Curve = readonly (readonly [tokens: number, loss: number])[]

export interface CurveRun {
  readonly variant: string
  readonly seed: number
  readonly curve: Curve
}

/** The evaluations after the first step. */
export function curveOf(metrics: readonly Metric[]): Curve {
  const tokens = new Map(metrics.filter(({ kind }) => kind === 'train').map((each) => [each.step, each.tokens]))
  return metrics
    .filter(({ kind, step }) => kind === 'evaluation' && step > 0)
    .map(({ step, loss }) => [tokens.get(step) ?? 0, Number(loss.toFixed(4))])
}

export function curvesChart(title: string, runs: readonly CurveRun[]): Chart {
  const variants = [...new Set(runs.map(({ variant }) => variant))]
  const seeds = [...new Set(runs.map(({ seed }) => seed))].sort((a, b) => a - b)
  const name = ({ variant, seed }: CurveRun) => (seeds.length === 1 ? variant : `${variant}, seed ${seed}`)
  return {
    title,
    x: { label: 'tokens', scale: 'linear' },
    y: { label: 'held-out loss, nats a token', scale: 'linear' },
    series: runs.map((run) => ({
      name: name(run),
      line: run.curve,
      dots: run.curve,
      color: variants.indexOf(run.variant),
      dash: seeds.indexOf(run.seed),
    })),
  }
}
