/**
 * The part of node-llama-cpp that `llama-peer.ts` uses. Declared here so that the workspace type-checks where the peer
 * is not installed (it is apart from the workspace: `npm ci --prefix bench`).
 */
declare module 'node-llama-cpp' {
  export interface NextToken {
    readonly next: { readonly token?: number | null; readonly logits?: ReadonlyMap<number, number> }
  }
  export type EvaluatedToken = number | [token: number, options: { generateNext: { token?: boolean; logits?: boolean } }]

  export interface LlamaContextSequence {
    readonly nextTokenIndex: number
    controlledEvaluate(input: EvaluatedToken[]): Promise<(NextToken | undefined)[]>
    clearHistory(): Promise<void>
  }

  export interface BatchItem {
    readonly tokens: readonly number[]
  }

  export interface LlamaContext {
    readonly currentThreads: number
    getSequence(): LlamaContextSequence
    dispose(): Promise<void>
  }

  export interface LlamaContextOptions {
    /** Tokens that one sequence can hold. */
    contextSize: number
    sequences: number
    batchSize: number
    threads: { ideal: number; min: number }
    flashAttention: boolean
    batching?: {
      itemPrioritizationStrategy(options: { items: readonly BatchItem[] }): { item: BatchItem; processAmount: number }[]
    }
    experimentalKvCacheKeyType?: 'F16' | 'F32'
    experimentalKvCacheValueType?: 'F16' | 'F32'
  }

  export interface LlamaModel {
    tokenize(text: string, specialTokens: boolean): number[]
    createContext(options: LlamaContextOptions): Promise<LlamaContext>
    dispose(): Promise<void>
  }

  export interface Llama {
    readonly systemInfo: string
    readonly llamaCppRelease: { readonly repo: string; readonly release: string }
    loadModel(options: { modelPath: string }): Promise<LlamaModel>
    dispose(): Promise<void>
  }

  export function getLlama(options: {
    gpu: false
    build: 'never'
    maxThreads: number
    logLevel: 'error'
    progressLogs: boolean
  }): Promise<Llama>
}
