/** A text while it is written: its tokens, under which P they were made, and what to do when the server goes away. */
import { signal } from '@preact/signals'
import { type Asked, complete, Gone, type Token, tokenize } from './api.ts'
import { mean } from './streams.ts'

export interface Setting {
  readonly p: number
  readonly without: readonly number[]
}
export interface Segment extends Setting {
  /** Index of its first token. */
  readonly at: number
}
export type State = 'idle' | 'running' | 'stopped' | 'done' | 'lost' | 'refused'

/** Milliseconds per token by P, of texts that ran alone and of the model that wrote last. */
export const pace = signal<ReadonlyMap<number, { readonly ms: number; readonly tokens: number }>>(new Map())
const times = new Map<number, number[]>()
let timed = ''
/** Traces that run now: times of those that share steps are no measurement. */
let runningNow = 0

export class TraceRun {
  tokens: Token[] = []
  segments: Segment[] = []
  readonly version = signal(0)
  readonly state = signal<State>('idle')
  readonly problem = signal('')
  readonly cursor = signal<number | undefined>(undefined)
  #asked: Asked | undefined
  #controller: AbortController | undefined
  #next: Setting | undefined
  #ids: readonly number[] | undefined
  #told: ReturnType<typeof setTimeout> | undefined

  get text(): string {
    return this.tokens.map(({ text }) => text).join('')
  }

  /** Milliseconds per token, over the last tokens: a mean, as a busy page reads several at once. */
  get recentMs(): number {
    // The first has the prompt in its time.
    return mean(this.tokens.slice(Math.max(1, this.tokens.length - 48)).map(({ ms }) => ms))
  }

  /**
   * Begins anew.
   *
   * @param plan where P or the streams changed in the trace that is repeated; empty: never
   */
  async start(asked: Asked, plan: readonly Segment[] = []): Promise<void> {
    this.#controller?.abort()
    this.#asked = asked
    this.#ids = undefined
    this.tokens = []
    this.segments = []
    this.cursor.value = undefined
    await this.#run({ p: asked.p, without: asked.without }, plan)
  }

  /** Back to before the first start. */
  reset(): void {
    this.stop()
    // What is under way ends without a word.
    this.#controller = undefined
    this.tokens = []
    this.segments = []
    this.cursor.value = undefined
    this.problem.value = ''
    this.state.value = 'idle'
    this.version.value++
  }

  /** Goes on where a text stopped or was lost. */
  async resume(setting: Setting): Promise<void> {
    if (this.#asked && this.state.value !== 'running') await this.#run(setting, [])
  }

  /** From the next token on with another P or other streams. */
  change(setting: Setting): void {
    if (this.state.value !== 'running') return
    this.#next = setting
    this.#controller?.abort()
  }

  stop(): void {
    this.#next = undefined
    this.#controller?.abort()
  }

  async #run(first: Setting, plan: readonly Segment[]): Promise<void> {
    const asked = this.#asked!
    let setting = first
    this.state.value = 'running'
    this.problem.value = ''
    runningNow++
    const mine = new AbortController()
    this.#controller = mine
    try {
      for (;;) {
        const at = this.tokens.length
        const until = Math.min(asked.maxTokens, plan.find((segment) => segment.at > at)?.at ?? asked.maxTokens)
        if (at >= asked.maxTokens) break
        this.#segment({ at, ...setting })
        const prompt = at === 0 ? asked.prompt : [...(await this.#promptIds()), ...this.tokens.map(({ id }) => id)]
        const controller: AbortController = this.#controller!
        const part = complete({ ...asked, prompt, ...setting, seed: asked.seed + at, maxTokens: until - at }, controller.signal)
        let reason: string | undefined
        for (;;) {
          const { done, value } = await part.next()
          if (done) {
            reason = value
            break
          }
          // Another text was begun meanwhile.
          if (this.#controller !== controller) return
          this.#take(value, setting)
        }
        if (this.#controller !== controller) return
        if (controller.signal.aborted) {
          if (!this.#next) {
            this.state.value = 'stopped'
            return
          }
          setting = this.#next
          this.#next = undefined
          this.#controller = new AbortController()
          continue
        }
        const following = plan.find((segment) => segment.at === this.tokens.length)
        if (reason !== 'length' || this.tokens.length >= asked.maxTokens || !following) break
        setting = following
      }
      this.state.value = 'done'
    } catch (error) {
      this.state.value = error instanceof Gone ? 'lost' : 'refused'
      this.problem.value = error instanceof Error ? error.message : String(error)
    } finally {
      runningNow--
      this.#draw()
    }
  }

  #segment(segment: Segment): void {
    this.segments = [...this.segments.filter(({ at }) => at < segment.at), segment]
  }

  #take(tokens: readonly Token[], { p }: Setting): void {
    const begins = this.segments.some(({ at }) => at === this.tokens.length)
    this.tokens.push(...tokens)
    this.#tell()
    // The first of a request has its prompt in its time.
    if (runningNow > 1 || begins) return
    if (timed !== this.#asked!.model) times.clear()
    timed = this.#asked!.model
    const list = times.get(p) ?? []
    list.push(...tokens.map(({ ms }) => ms))
    times.set(p, list.slice(-400))
  }

  /**
   * Draws what came: once a frame, and less often the longer a text is, as some of what is drawn is of all of it. Tokens may come
   * faster than they can be seen.
   */
  #tell(): void {
    this.#told ??= setTimeout(() => this.#draw(), Math.max(16, this.tokens.length / 40))
  }

  #draw(): void {
    clearTimeout(this.#told)
    this.#told = undefined
    this.version.value++
    pace.value = new Map([...times].map(([p, list]) => [p, { ms: mean(list), tokens: list.length }]))
  }

  async #promptIds(): Promise<readonly number[]> {
    const { prompt, model } = this.#asked!
    this.#ids ??= typeof prompt === 'string' ? await tokenize(model, prompt) : prompt
    return this.#ids
  }
}
