/** Counters and histograms in Prometheus' text format: `parscale_*`, and OpenTelemetry's `gen_ai.server.*` as Prometheus spells them. */
import type { ModelStatus } from './models.ts'
import type { RequestRecord } from './scope.ts'

/** OpenTelemetry's advice for these histograms, in seconds. */
const buckets = {
  duration: [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92],
  firstToken: [0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10],
  token: [0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5],
}

/** How late the thread that answers was for its timers, in seconds, since the server was ready. */
export interface LoopDelay {
  readonly p50: number
  readonly p99: number
  readonly max: number
  /** The longest, less what the thread waited for a processor that others had; absent where nobody counts it. */
  readonly own?: number
}

type Labels = Readonly<Record<string, string | number>>

const quoted = (value: string | number) => String(value).replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')
const labelText = (labels: Labels) => {
  const entries = Object.entries(labels)
  return entries.length === 0 ? '' : `{${entries.map(([name, value]) => `${name}="${quoted(value)}"`).join(',')}}`
}

class Histogram {
  readonly #bounds: readonly number[]
  readonly #series = new Map<string, { labels: Labels; counts: number[]; sum: number; count: number }>()

  constructor(bounds: readonly number[]) {
    this.#bounds = bounds
  }

  observe(labels: Labels, value: number): void {
    const key = labelText(labels)
    const series = this.#series.get(key) ?? { labels, counts: this.#bounds.map(() => 0), sum: 0, count: 0 }
    this.#series.set(key, series)
    for (const [i, bound] of this.#bounds.entries()) if (value <= bound) series.counts[i]!++
    series.sum += value
    series.count++
  }

  *lines(name: string): Generator<string> {
    for (const [key, { labels, counts, sum, count }] of this.#series) {
      for (const [i, bound] of this.#bounds.entries()) yield `${name}_bucket${labelText({ ...labels, le: bound })} ${counts[i]}`
      yield `${name}_bucket${labelText({ ...labels, le: '+Inf' })} ${count}`
      yield `${name}_sum${key} ${sum}`
      yield `${name}_count${key} ${count}`
    }
  }
}

export class Metrics {
  readonly #loopDelay: (() => LoopDelay) | undefined
  readonly #requests = new Map<string, number>()
  readonly #duration = new Histogram(buckets.duration)
  readonly #firstToken = new Histogram(buckets.firstToken)
  readonly #token = new Histogram(buckets.token)
  /** Texts of requests in the server, those that wait too, by model and P. */
  readonly #running = new Map<string, number>()

  constructor(loopDelay?: () => LoopDelay) {
    this.#loopDelay = loopDelay
  }

  begin(model: string, p: number): () => void {
    const key = labelText({ model, p })
    this.#running.set(key, (this.#running.get(key) ?? 0) + 1)
    return () => void this.#running.set(key, this.#running.get(key)! - 1)
  }

  /** Of models only that the server has: names that requests bring would be series without end. */
  end({ path, status, model, started, error, numbers }: RequestRecord): void {
    const key = labelText({ path, status })
    this.#requests.set(key, (this.#requests.get(key) ?? 0) + 1)
    if (model === undefined) return
    const labels = { gen_ai_request_model: model, gen_ai_system: 'parscale', ...(error !== undefined && { error_type: error }) }
    this.#duration.observe(labels, (performance.now() - started) / 1000)
    const { firstTokenMs, decodeMs, decodeTokens } = numbers
    if (firstTokenMs !== undefined) this.#firstToken.observe(labels, firstTokenMs / 1000)
    if (decodeTokens > 0) this.#token.observe(labels, decodeMs / decodeTokens / 1000)
  }

  text(models: readonly ModelStatus[]): string {
    const lines: string[] = []
    const family = (name: string, type: string, help: string, values: Iterable<string>) => {
      lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`, ...values)
    }
    const loaded = models.flatMap(({ id, loaded }) => (loaded ? [{ id, loaded, counters: loaded.text.scheduler.counters }] : []))
    const perModel = (name: string, type: string, help: string, value: (one: (typeof loaded)[number]) => number) =>
      family(
        name,
        type,
        help,
        loaded.map((one) => `${name}${labelText({ model: one.id })} ${value(one)}`),
      )
    const counts = (name: string, values: ReadonlyMap<string, number>) =>
      [...values].map(([key, value]) => `${name}${key} ${value}`)

    family(
      'parscale_http_requests_total',
      'counter',
      'Answers by path and status.',
      counts('parscale_http_requests_total', this.#requests),
    )
    family(
      'parscale_requests_in_use',
      'gauge',
      'Texts that are asked for and not finished, those that wait too, by streams.',
      counts('parscale_requests_in_use', this.#running),
    )
    family(
      'parscale_model_loaded',
      'gauge',
      'Whether the model is in memory.',
      models.map(({ id, state }) => `parscale_model_loaded${labelText({ model: id })} ${Number(state === 'ready')}`),
    )
    perModel('parscale_requests_running', 'gauge', 'Requests that share steps.', ({ counters }) => counters.running)
    family(
      'parscale_requests_queued',
      'gauge',
      'Requests that have not had a step yet, those that wait for the model too.',
      models.map(
        ({ id, waiting, loaded }) => `parscale_requests_queued${labelText({ model: id })} ${waiting + (loaded?.queued ?? 0)}`,
      ),
    )
    perModel('parscale_rows_in_use', 'gauge', 'Rows, the streams of all requests that run.', ({ counters }) => counters.rows)
    perModel('parscale_cache_bytes', 'gauge', 'Memory of keys and values.', ({ counters }) => counters.cacheBytes)
    perModel(
      'parscale_kept_bytes',
      'gauge',
      'Of these, of finished requests: at most so much.',
      ({ counters }) => counters.keptBytes,
    )
    perModel('parscale_steps_total', 'counter', 'Steps of the model.', ({ counters }) => counters.steps)
    perModel('parscale_step_seconds_total', 'counter', 'Time in which a step ran.', ({ counters }) => counters.stepMs / 1000)
    perModel(
      'parscale_between_steps_seconds_total',
      'counter',
      'From the end of a step to the begin of the next, where there was one to run.',
      ({ counters }) => counters.betweenMs / 1000,
    )
    perModel(
      'parscale_row_tokens_total',
      'counter',
      'Tokens computed, once for each stream.',
      ({ counters }) => counters.rowTokens,
    )
    perModel('parscale_prompt_tokens_total', 'counter', 'Tokens of prompts.', ({ counters }) => counters.promptTokens)
    perModel('parscale_cached_tokens_total', 'counter', 'Of these, found in the cache.', ({ counters }) => counters.cachedTokens)
    perModel('parscale_generated_tokens_total', 'counter', 'Tokens generated.', ({ counters }) => counters.generatedTokens)
    if (this.#loopDelay) {
      const { p50, p99, max, own } = this.#loopDelay()
      const name = 'parscale_event_loop_delay_seconds'
      const values = Object.entries({ 0.5: p50, 0.99: p99, 1: max }).map(([q, value]) => `${name}{quantile="${q}"} ${value}`)
      family(name, 'gauge', 'How late the thread that answers was since the server was ready; 1: the longest.', values)
      if (own !== undefined) {
        const held = 'parscale_event_loop_held_seconds'
        const help = 'The longest hold of that thread, less what it waited for a processor that others on the machine had.'
        family(held, 'gauge', help, [`${held} ${own}`])
      }
    }
    const histograms = [
      ['gen_ai_server_request_duration_seconds', 'From the request to the end of the answer.', this.#duration],
      ['gen_ai_server_time_to_first_token_seconds', 'From the request to the first token.', this.#firstToken],
      ['gen_ai_server_time_per_output_token_seconds', 'Between tokens behind the first one.', this.#token],
    ] as const
    for (const [name, help, histogram] of histograms) family(name, 'histogram', help, histogram.lines(name))
    return `${lines.join('\n')}\n`
  }
}
