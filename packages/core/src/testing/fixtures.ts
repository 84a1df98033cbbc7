/** Tiny checkpoints with what a reference implementation gives on them; formats in fixtures/goldens/README.md. */
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { parseSafetensors, readF32 } from '../checkpoint/index.ts'
import { Engine, Model, type ModelFiles, modelFiles } from '../generation/index.ts'
import type { KvType } from '../model/index.ts'
import { openFileSource, openModelFolder } from '../node/index.ts'
import { type OnnxRuntimeOptions, onnxRuntime } from '../node/onnx-runtime.ts'

export const fixturesFolder = fileURLToPath(new URL('../../../../fixtures/', import.meta.url))

/** A model whose tokens are bytes, with random weights, P = 1 and 8, and a context of 2048 tokens; 258 ends a text. */
export const byteModel = `${fixturesFolder}byte-p8`

export interface Expected {
  readonly input_ids: number[]
  readonly generated_ids: number[]
  readonly batch2: { input_ids: number[][]; attention_mask: number[][]; position_ids: number[][]; generated_ids: number[][] }
  readonly loss?: { ids: number[]; value: number }
}

export interface Fixture {
  readonly name: string
  readonly folder: string
  readonly expected: Expected
  /** Arrays of expected.safetensors. */
  readonly arrays: ReadonlyMap<string, { data: Float32Array; shape: readonly number[] }>
}

/** @param name folder below fixtures/, such as `goldens/parscale-p4` */
export async function readFixture(name: string): Promise<Fixture> {
  const folder = `${fixturesFolder}${name}`
  const source = await openFileSource(`${folder}/expected.safetensors`)
  const arrays = new Map<string, { data: Float32Array; shape: readonly number[] }>()
  for (const tensor of (await parseSafetensors(source)).tensors) {
    arrays.set(tensor.name, { data: await readF32(tensor as Parameters<typeof readF32>[0]), shape: tensor.shape })
  }
  await source.close()
  return { name, folder, expected: JSON.parse(readFileSync(`${folder}/expected.json`, 'utf8')) as Expected, arrays }
}

export interface EngineOptions extends OnnxRuntimeOptions {
  readonly kv?: KvType | undefined
}

/** Loads a model's folder, with further folders of stream sets. */
export type LoadEngine<O = EngineOptions> = (folder: string, options?: O, streamFolders?: readonly string[]) => Promise<Engine>

/** What loads engines with models that `start` has started. The files are closed again: what is mapped stays. */
export const engineLoader =
  <O extends object>(start: (files: ModelFiles, options: Partial<O>) => Promise<Model>): LoadEngine<Partial<O>> =>
  async (folder, options = {}, streamFolders = []) => {
    const [main, ...others] = await Promise.all([folder, ...streamFolders].map((path) => openModelFolder(path)))
    try {
      return new Engine(await start(await modelFiles(main!, others), options))
    } finally {
      await Promise.all([main!, ...others].map((open) => open.close()))
    }
  }

/** The engine over ONNX Runtime. Tests of packages that have other decoders bring their own `LoadEngine`. */
export const loadEngine = engineLoader<EngineOptions>((files, { kv, ...options }) =>
  Model.load(onnxRuntime(options), files, { kv }),
)

/** The largest absolute difference, and NaN when there is one anywhere. */
export function maxDifference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  if (a.length !== b.length) throw new Error(`lengths differ: ${a.length} and ${b.length}`)
  let max = 0
  for (let i = 0; i < a.length; i++) {
    const difference = Math.abs(a[i]! - b[i]!)
    if (!(difference <= max)) max = difference
  }
  return max
}

export function argmax(row: Float32Array): number {
  let best = 0
  for (let i = 1; i < row.length; i++) if (row[i]! > row[best]!) best = i
  return best
}
