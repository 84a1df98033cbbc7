/**
 * The files of one training checkpoint, in a folder of their own: parameters, AdamW's moments, the trainer's state, and,
 * last, a marker that vouches for the others with their sizes and SHA-256. (Fast where processors have instructions for
 * it; it is computed while the file is written.)
 */
import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import * as z from 'zod'
import { isJsonObject, jsonBytes, parseJsonBytes } from '../../checkpoint/json-text.ts'
import { readF32 } from '../../checkpoint/read-tensor.ts'
import { parseSafetensors } from '../../checkpoint/safetensors.ts'
import { type ByteSink, writeSafetensors } from '../../checkpoint/safetensors-writer.ts'
import { isLoadable } from '../../checkpoint/tensor.ts'
import { arrayStream } from '../../checkpoint/tensor-stream.ts'
import { checkpointError, isParscaleError } from '../../errors.ts'
import { safeParse } from '../../safe-parse.ts'
import { momentName } from '../../training/step/graphs.ts'
import type { DiskAdvice } from '../disk/disk-error.ts'
import { openFileSource } from '../disk/file-source.ts'
import { openToRead } from '../disk/open-file.ts'
import { syncFolder, writeNewFile, writeWholeFile } from '../disk/whole-file.ts'

export type JsonObject = Readonly<Record<string, unknown>>

/** Arrays by parameter name, as TrainStep has them. */
export type ParameterArrays = ReadonlyMap<string, Float32Array>

export interface TrainingCheckpoint {
  /** Steps taken so far. */
  readonly step: number
  /** Whatever else the trainer needs to go on. Numbers come back exactly, except NaN and infinities, which JSON lacks. */
  readonly state: JsonObject
  /** On held-out text, in nats; checkpoints that have it compete for the best. */
  readonly loss?: number
  /** Every parameter that is stored: a model's trained ones, not its frozen ones. */
  readonly tensors: readonly { readonly name: string; readonly shape: readonly number[] }[]
  readonly parameters: ParameterArrays
  /** Moments of all or some of them: a parameter that an earlier stage trained has none. */
  readonly m: ParameterArrays
  readonly v: ParameterArrays
  /** How long the run's logs were when it was taken, in bytes by name. */
  readonly logBytes?: Readonly<Record<string, number>>
}

const markerName = 'complete'
const parametersName = 'parameters.safetensors'
const momentsName = 'moments.safetensors'
const stateName = 'state.json'
const fileNames = [parametersName, momentsName, stateName] as const

const fileRecord = z.strictObject({ bytes: z.int().nonnegative(), sha256: z.string() })
const marker = z.strictObject({
  files: z.strictObject({ [parametersName]: fileRecord, [momentsName]: fileRecord, [stateName]: fileRecord }),
})
type FileRecord = z.infer<typeof fileRecord>
type Marker = z.infer<typeof marker>

const savedState = z.strictObject({
  step: z.int().nonnegative(),
  loss: z.number().optional(),
  state: z.custom<JsonObject>(isJsonObject),
  logBytes: z.record(z.string(), z.int().nonnegative()).optional(),
})
export type SavedState = z.infer<typeof savedState>

/** Data bytes of a checkpoint, nearly the size of its files. */
export function checkpointBytes({ parameters, m, v }: TrainingCheckpoint): number {
  return [parameters, m, v].flatMap((arrays) => [...arrays.values()]).reduce((sum, array) => sum + array.byteLength, 0)
}

/**
 * Writes everything but the marker into an existing folder and flushes it to disk. Arrays are written from where they lie.
 *
 * @throws usage error for an array whose length is not its shape's; the file system's errors
 */
export async function writeCheckpointFiles(folder: string, checkpoint: TrainingCheckpoint): Promise<Marker> {
  const { step, loss, state, tensors, logBytes } = checkpoint
  const parameters = () =>
    tensors.map(({ name, shape }) => arrayStream(name, shape, checkpoint.parameters.get(name) ?? missing(name)))
  const moments = () =>
    (['m', 'v'] as const).flatMap((which) =>
      tensors
        .filter(({ name }) => checkpoint[which].has(name))
        .map(({ name, shape }) => arrayStream(momentName(which, name), shape, checkpoint[which].get(name)!)),
    )
  const saved: SavedState = { step, ...(Number.isFinite(loss) && { loss }), state, logBytes }
  const write = (name: string, content: (sink: ByteSink) => Promise<void>) => writeHashed(join(folder, name), content)
  const files = {
    [parametersName]: await write(parametersName, (sink) => writeSafetensors(sink, parameters())),
    [momentsName]: await write(momentsName, (sink) => writeSafetensors(sink, moments())),
    [stateName]: await write(stateName, (sink) => sink.write(jsonBytes(saved))),
  }
  await syncFolder(folder)
  return { files }
}

/** Declares the folder's files whole. The marker is there with all its text, or not at all. */
export function writeMarker(folder: string, content: Marker, advice: DiskAdvice): Promise<void> {
  return writeWholeFile(join(folder, markerName), jsonBytes(content), advice)
}

const missing = (name: string): never => {
  throw new RangeError(`checkpoint: parameter ${name} is listed, but has no values`)
}

async function writeHashed(path: string, content: (sink: ByteSink) => Promise<void>): Promise<FileRecord> {
  const hash = createHash('sha256')
  let written = 0
  await writeNewFile(path, (sink) =>
    content({
      async write(bytes) {
        const writing = sink.write(bytes) // on another thread, while this one hashes
        hash.update(bytes)
        await writing
        written += bytes.byteLength
      },
    }),
  )
  return { bytes: written, sha256: hash.digest('hex') }
}

/** True for a folder that was never declared whole: its writing was cut short. */
export async function isUnfinished(folder: string): Promise<boolean> {
  const found = await readFile(join(folder, markerName)).catch((error: NodeJS.ErrnoException) => error)
  return found instanceof Error && found.code === 'ENOENT'
}

/** Reads what is small: step, loss, state. @throws checkpoint error naming the file that is damaged or missing */
export async function readState(folder: string): Promise<SavedState> {
  const { files } = await readMarker(folder)
  await verifyFile(folder, stateName, files[stateName])
  const path = join(folder, stateName)
  return parse(savedState, parseJsonBytes(await readFile(path), path), path)
}

/**
 * Reads a checkpoint, every byte of it verified.
 *
 * @throws checkpoint error naming the file that is damaged or missing, and what is wrong with it
 */
export async function readCheckpoint(folder: string): Promise<TrainingCheckpoint> {
  const { files } = await readMarker(folder)
  for (const name of fileNames) await verifyFile(folder, name, files[name])
  const saved = await readState(folder)
  const parameters = await readArrays(join(folder, parametersName))
  const moments = await readArrays(join(folder, momentsName))
  const tensors = [...parameters.values()].map(({ name, shape }) => ({ name, shape }))
  const arraysOf = (which: 'm' | 'v'): ParameterArrays => {
    const found = tensors.flatMap(({ name, shape }) => {
      const moment = moments.get(momentName(which, name))
      if (moment && String(moment.shape) !== String(shape)) {
        throw damaged(join(folder, momentsName), `has ${moment.name} of shape [${moment.shape}], expected [${shape}]`)
      }
      return moment ? [[name, moment.values] as const] : []
    })
    if (found.length * 2 !== moments.size) throw damaged(join(folder, momentsName), 'has moments of other parameters')
    return new Map(found)
  }
  return {
    ...saved,
    tensors,
    parameters: new Map([...parameters.values()].map(({ name, values }) => [name, values])),
    m: arraysOf('m'),
    v: arraysOf('v'),
  }
}

async function readMarker(folder: string): Promise<Marker> {
  const path = join(folder, markerName)
  const bytes = await readFile(path).catch((cause: NodeJS.ErrnoException) => {
    throw cause.code === 'ENOENT'
      ? damaged(path, 'is missing: the checkpoint was not finished')
      : damaged(path, `cannot be read (${cause.code})`)
  })
  return parse(marker, parseJsonBytes(bytes, path), path)
}

async function verifyFile(folder: string, name: string, expected: FileRecord): Promise<void> {
  const path = join(folder, name)
  const file = await openToRead(path).catch((cause: NodeJS.ErrnoException) => {
    throw damaged(path, cause.code === 'ENOENT' ? 'is missing' : `cannot be read (${cause.code})`)
  })
  try {
    const { size } = await file.stat()
    if (size !== expected.bytes) throw damaged(path, `has ${size} bytes, expected ${expected.bytes}`)
    const hash = createHash('sha256')
    for await (const bytes of file.createReadStream({ autoClose: false, highWaterMark: 16 << 20 })) hash.update(bytes)
    if (hash.digest('hex') !== expected.sha256)
      throw damaged(path, 'is damaged: its bytes do not have the SHA-256 they were written with')
  } catch (cause) {
    if (isParscaleError(cause)) throw cause
    throw damaged(path, `cannot be read (${(cause as NodeJS.ErrnoException).code})`)
  } finally {
    await file.close()
  }
}

async function readArrays(path: string) {
  const source = await openFileSource(path)
  try {
    const arrays = new Map<string, { name: string; shape: readonly number[]; values: Float32Array }>()
    for (const tensor of (await parseSafetensors(source)).tensors) {
      const { name, dtype, shape } = tensor
      if (!isLoadable(tensor)) throw damaged(path, `has ${name} as ${dtype}, expected F32`)
      arrays.set(name, { name, shape, values: await readF32(tensor) })
    }
    return arrays
  } finally {
    await source.close()
  }
}

function parse<T>(schema: z.ZodType<T>, value: unknown, path: string): T {
  const parsed = safeParse(schema, value)
  if (parsed.success) return parsed.data
  const { path: at, message } = parsed.error.issues[0]!
  throw damaged(path, `is damaged: ${at.join('.') || 'it'}: ${message}`)
}

const damaged = (path: string, what: string) => checkpointError(`${path} ${what}`, { file: path })
