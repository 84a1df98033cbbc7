/** Tiny checkpoints with what a reference implementation gives on them; formats in fixtures/goldens/README.md. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseModelConfig, parseSafetensors, readF32 } from '@parscale/core/checkpoint'
import { Engine, modelFiles } from '@parscale/core/generation'
import { openFileSource, openModelFolder } from '@parscale/core/node'
import { nativeModule, nativeRefusal } from '@parscale/native'
import { type EngineName, type EngineOptions, startModel } from '../../src/load/decode-engine.ts'

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

/** Those that run here: where there was no compiler at install, ONNX Runtime alone. */
export const engines: readonly EngineName[] = 'module' in nativeModule() ? ['onnx', 'native'] : ['onnx']

/** Why an engine does not run a fixture; undefined where it does. */
export function refusalOf(name: string, engine: EngineName): string | undefined {
  const config = parseModelConfig(JSON.parse(readFileSync(`${fixturesFolder}${name}/config.json`, 'utf8')))
  return engine === 'native' ? nativeRefusal([config]) : undefined
}

export async function loadEngine(
  folder: string,
  { engine = 'onnx', ...options }: Omit<EngineOptions, 'cacheDirectory'> & { engine?: EngineName } = {},
  streamFolders: readonly string[] = [],
): Promise<Engine> {
  const cacheDirectory = mkdtempSync(join(tmpdir(), 'parscale-cache-'))
  const [main, ...others] = await Promise.all([folder, ...streamFolders].map((path) => openModelFolder(path)))
  try {
    return new Engine(await startModel(engine, await modelFiles(main!, others), { ...options, cacheDirectory }))
  } finally {
    rmSync(cacheDirectory, { recursive: true }) // what is mapped stays
    await Promise.all([main!, ...others].map((open) => open.close()))
  }
}

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
