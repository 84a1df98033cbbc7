/**
 * llama.cpp as a peer, through node-llama-cpp's prebuilt CPU binary: what it computes on a GGUF file and how long it
 * takes. Not part of the product; `npm ci --prefix bench` installs it.
 */
import { type Spread, spreadOf } from '@parscale/core/internal'
import type { EvaluatedToken, LlamaContext, LlamaContextOptions, LlamaContextSequence } from 'node-llama-cpp'

export interface DecodeFigures {
  /** Sequences that were stepped together, one token each, in one batch. */
  readonly sequences: number
  /** Tokens that each sequence held before the first measured step. */
  readonly contextTokens: number
  /** Wall-clock time of one step: n rows through the model, their logits, the best token of each. */
  readonly stepMs: Spread
}

export interface PrefillFigures {
  readonly tokens: number
  /** Wall-clock time of the whole prompt, until the best next token is known. */
  readonly promptMs: Spread
  /** At the lower quartile of `promptMs`. */
  readonly tokensPerSecond: number
}

export interface Decoder {
  /** One token of each sequence, in one batch. @returns ms @throws when llama.cpp did not step them together */
  step(): Promise<number>
  dispose(): Promise<void>
}

export interface LogitsOptions {
  /** Type of llama.cpp's keys and values; its own default is F16. Default 'F16'. */
  readonly cacheType?: 'F16' | 'F32'
  /** Its fused attention kernel. Default true, as llama.cpp decides for a CPU. */
  readonly flashAttention?: boolean
}

export interface LlamaPeer {
  /** The llama.cpp release and the instruction sets that its binary found. */
  readonly version: string
  readonly threads: number
  /** Token ids of a text as llama.cpp's own tokenizer cuts it; no begin-of-text token is added, and text that looks like a special token stays text. */
  tokenize(text: string): number[]
  decodeBench(options: { sequences: number; contextTokens: number; steps: number }): Promise<DecodeFigures>
  /** The same in pieces, for taking turns with others: sequences are filled once, `step` may be called `steps` times. */
  openDecoder(options: { sequences: number; contextTokens: number; steps: number }): Promise<Decoder>
  /** @param options.warmUp one prompt before the clock counts, which pages the weights in. Default true */
  prefillBench(options: { tokens: number; repeats: number; warmUp?: boolean }): Promise<PrefillFigures>
  /**
   * Raw logits f32 [V] of the next token after each of `ids`, in order: element i has seen ids[0..i]. One sequence from
   * an empty context. The logits are llama.cpp's own numbers, before any sampler.
   */
  distributions(ids: readonly number[], options?: LogitsOptions): AsyncGenerator<Float32Array>
  dispose(): Promise<void>
}

/** llama.cpp's own default for logical and physical batches. */
const batchSize = 512
const warmUpSteps = 4

/**
 * Loads a GGUF file into llama.cpp on the CPU.
 *
 * @throws when node-llama-cpp is not installed, has no binary for this platform, or cannot read the file
 */
export async function loadPeer(path: string, { threads }: { threads: number }): Promise<LlamaPeer> {
  const { getLlama } = await import('node-llama-cpp').catch((cause: unknown) => {
    throw new Error('node-llama-cpp is not installed; run: npm ci --prefix bench', { cause })
  })
  const llama = await getLlama({ gpu: false, build: 'never', maxThreads: threads, logLevel: 'error', progressLogs: false })
  const model = await llama.loadModel({ modelPath: path })

  const createContext = (options: Partial<LlamaContextOptions>): Promise<LlamaContext> =>
    model.createContext({
      contextSize: batchSize,
      sequences: 1,
      batchSize,
      // `ideal` alone is a hint; only `min` makes the figure one for that many threads.
      threads: { ideal: threads, min: threads },
      flashAttention: true,
      ...options,
    })

  async function openDecoder({ sequences, contextTokens, steps }: { sequences: number; contextTokens: number; steps: number }) {
    const rowsPerBatch: number[] = []
    const context = await createContext({
      contextSize: contextTokens + warmUpSteps + steps,
      sequences,
      batching: {
        itemPrioritizationStrategy({ items }) {
          rowsPerBatch.push(items.length)
          return items.map((item) => ({ item, processAmount: item.tokens.length }))
        },
      },
    })
    const rows = Array.from({ length: sequences }, () => context.getSequence())
    for (const row of rows) await row.controlledEvaluate(someTokens(contextTokens))
    const decoder: Decoder = {
      async step() {
        rowsPerBatch.length = 0
        const started = performance.now()
        // Sequences share a batch only when their requests are pending together.
        await Promise.all(rows.map((row) => row.controlledEvaluate(askingNext(someTokens(1)))))
        const ms = performance.now() - started
        if (rowsPerBatch.some((n) => n !== sequences)) {
          throw new Error(`llama.cpp was to step ${sequences} sequences together, but ran batches of ${rowsPerBatch.join(', ')}`)
        }
        if (context.currentThreads !== threads) {
          throw new Error(`llama.cpp was to use ${threads} threads, but used ${context.currentThreads}`)
        }
        return ms
      },
      dispose: () => context.dispose(),
    }
    for (let step = 0; step < warmUpSteps; step++) await decoder.step()
    return decoder
  }

  async function decodeBench(options: { sequences: number; contextTokens: number; steps: number }) {
    const decoder = await openDecoder(options)
    try {
      const times: number[] = []
      while (times.length < options.steps) times.push(await decoder.step())
      return { sequences: options.sequences, contextTokens: options.contextTokens, stepMs: spreadOf(times) }
    } finally {
      await decoder.dispose()
    }
  }

  async function prefillBench({ tokens, repeats, warmUp = true }: { tokens: number; repeats: number; warmUp?: boolean }) {
    const context = await createContext({ contextSize: tokens + 1 })
    try {
      const sequence = context.getSequence()
      const times: number[] = []
      for (let repeat = warmUp ? -1 : 0; repeat < repeats; repeat++) {
        await sequence.clearHistory()
        const started = performance.now()
        await sequence.controlledEvaluate(askingNext(someTokens(tokens)))
        if (repeat >= 0) times.push(performance.now() - started)
      }
      const promptMs = spreadOf(times)
      return { tokens, promptMs, tokensPerSecond: (tokens * 1000) / promptMs.lowerQuartile }
    } finally {
      await context.dispose()
    }
  }

  async function* distributions(ids: readonly number[], { cacheType = 'F16', flashAttention = true }: LogitsOptions = {}) {
    const context = await createContext({
      // One more than there are: of the last one that fits, node-llama-cpp's logits are others than llama.cpp gives in a longer context.
      contextSize: ids.length + 1,
      flashAttention,
      experimentalKvCacheKeyType: cacheType,
      experimentalKvCacheValueType: cacheType,
    })
    try {
      const sequence = context.getSequence()
      // In pieces, as every position comes back as a Map of the whole vocabulary, sorted by logit: some megabytes each.
      for (let start = 0; start < ids.length; start += 32) yield* await logitsOf(sequence, ids.slice(start, start + 32))
    } finally {
      await context.dispose()
    }
  }

  return {
    version: `llama.cpp ${llama.llamaCppRelease.release} (${llama.systemInfo.trim()})`,
    threads,
    tokenize: (text) => Array.from(model.tokenize(text, false)),
    decodeBench,
    openDecoder,
    prefillBench,
    distributions,
    dispose: () => llama.dispose(),
  }
}

async function logitsOf(sequence: LlamaContextSequence, ids: readonly number[]): Promise<Float32Array[]> {
  const results = await sequence.controlledEvaluate(ids.map((id) => [id, { generateNext: { logits: true } }]))
  return results.map((result) => {
    const byToken = result!.next.logits!
    const logits = new Float32Array(byToken.size) // [V]
    for (const [token, logit] of byToken) logits[token] = logit
    return logits
  })
}

/** Speed does not depend on which tokens they are; all ids are below 1000, which every real vocabulary has. */
const someTokens = (count: number): number[] => Array.from({ length: count }, (_, i) => (i * 7919) % 1000)

/** Asks for the next token after the last one only, as generation does. */
const askingNext = (ids: readonly number[]): EvaluatedToken[] =>
  ids.map((id, i) => (i === ids.length - 1 ? [id, { generateNext: { token: true } }] : id))
