/** Every command that writes, as processes of a bundle, for tests that kill them or take their disk away. */
import { type ChildProcess, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type HubServer, startHubServer } from '../hub/testing/hub-server.ts'
import { bundledCommand } from './bundle.ts'
import type { Finished } from './cli.ts'

/** Beside it, as far below the package as what is published is. */
const model = fileURLToPath(new URL('../../models/small', import.meta.url))
const fixture = (path: string) => fileURLToPath(new URL(`../../../../fixtures/${path}`, import.meta.url))

export interface Writer {
  /** @param place a folder of its own, in which `cache` is PARSCALE_CACHE */
  readonly args: (place: string) => readonly string[]
  /** What is removed to have the command write again. */
  readonly made: readonly string[]
}

export interface WritingCommands {
  start(args: readonly string[], cache: string, env?: NodeJS.ProcessEnv): Running
  close(): Promise<void>
}

export interface Running {
  readonly finished: Promise<Finished>
  readonly child: ChildProcess
  kill(): void
}

/** @param scratch where the material goes that the commands read: data, and a run */
export async function writingCommands(scratch: string): Promise<WritingCommands> {
  const { program, folder } = await bundledCommand()
  const server = await startHub()
  const start: WritingCommands['start'] = (args, cache, env = {}) => {
    const hub = { HF_ENDPOINT: server.url, HF_HUB_CACHE: join(cache, 'hub'), HF_HUB_OFFLINE: '0', HF_TOKEN: '' }
    const child = spawn(process.execPath, [program, ...args], {
      env: { ...process.env, PARSCALE_CACHE: cache, ...hub, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    let [stdout, stderr] = ['', '']
    child.stdout.on('data', (text) => {
      stdout += text
    })
    child.stderr.on('data', (text) => {
      stderr += text
    })
    const finished = new Promise<Finished>((resolve) => child.on('close', (code) => resolve({ code, stdout, stderr })))
    return { finished, child, kill: () => child.kill('SIGKILL') }
  }
  const close = async () => {
    await server.close()
    await rm(folder, { recursive: true, force: true })
  }
  const text = Array.from({ length: 40 }, (_, i) => `Document ${i}: ${'one two three four '.repeat(i % 7)}`).join('\n\n')
  await writeFile(join(scratch, 'text.txt'), text)
  const { code, stderr } = await start(recipe(scratch, join(scratch, 'run')), join(scratch, 'cache')).finished
  if (code !== 0) throw new Error(stderr)
  return { start, close }
}

async function startHub(): Promise<HubServer> {
  const files: Record<string, Uint8Array> = {}
  for (const name of ['config.json', 'model.safetensors', 'tokenizer.json', 'tokenizer_config.json'])
    files[name] = await readFile(join(model, name))
  return await startHubServer({ repos: { 'ParScale/tiny': { commit: 'e'.repeat(40), files } } })
}

/** A run of two steps with a checkpoint after each. */
export const recipe = (scratch: string, out: string): string[] => [
  ...['train', 'pretrain', '--data', join(scratch, 'text.txt'), '--separator', '\n\n', '--p', '1', '--steps', '2'],
  ...['--threads', '1', '--batch-size', '2', '--sequence-length', '16', '--held-out', '0.3', '--set', 'sample.tokens=0'],
  ...['--set', 'checkpoint.every=1', '--hidden-size', '32', '--layers', '2', '--heads', '2', '--vocab-size', '300', '--out', out],
]

/** By the scratch folder. */
export const writersOf = (scratch: string): Readonly<Record<string, Writer>> => ({
  convert: { args: (place) => ['convert', model, join(place, 'new')], made: ['new'] },
  quantize: { args: (place) => ['quantize', model, '--out', join(place, 'new'), '--bits', '8'], made: ['new'] },
  export: { args: (place) => ['export', join(scratch, 'run'), '--out', join(place, 'new')], made: ['new'] },
  'score --logits': {
    // As it is stored the model would be packed in memory.
    args: (place) => [
      ...['score', model, '--bits', '8', '--ids', '1,2,3,4,5', '--p', '1', '--threads', '1', '--logits', join(place, 'new')],
    ],
    made: ['new', 'cache'],
  },
  pull: { args: () => ['pull', 'ParScale/tiny'], made: ['cache/hub/models--ParScale--tiny'] },
  bench: {
    args: () => [
      ...['bench', '--shape', '0.5B', '--layers', '1', '--vocab', '256', '--p', '1', '--context', '8'],
      ...['--steps', '1', '--rounds', '1'],
    ],
    made: [],
  },
})

export const writerNames = Object.keys(writersOf(''))

/** The cache's ways of making a model: unpacked, in fewer bits. */
export const cachingWriters: Readonly<Record<string, Writer>> = {
  'a GGUF file': {
    // The native step takes its blocks as they are, and writes nothing.
    args: () => ['score', fixture('gguf/qwen2-p1.gguf'), '--engine', 'onnx', '--ids', '1,2,3', '--threads', '1'],
    made: ['cache'],
  },
  '--bits 8': {
    args: () => ['score', model, '--bits', '8', '--ids', '1,2,3', '--p', '1', '--threads', '1'],
    made: ['cache'],
  },
}

/** Charts. */
export const plottingWriters: Readonly<Record<string, Writer>> = {
  'fit --plot': {
    args: (place) => ['fit', '--dataset', 'stack-v2-python', '--bootstrap', '0', '--plot', join(place, 'new.svg')],
    made: ['new.svg'],
  },
  'plan --plot': {
    args: (place) => ['plan', '--device', 'rtx-4090', '--memory', '4GiB', '--plot', join(place, 'new.svg')],
    made: ['new.svg'],
  },
  'diagnose --plot': {
    args: (place) => [
      ...['diagnose', model, '--bits', '8', '--ids', '1,2,3,4,5,6,7,8', '--p', '2', '--threads', '1'],
      ...['--plot', join(place, 'new.svg')],
    ],
    made: ['new.svg', 'cache'],
  },
}

/**
 * The digest of every file below a folder, by its path. How far a check in the background has come differs from run to run, as
 * do the ends of cached folders' names: times of change of what they were made of.
 */
export async function filesOf(folder: string): Promise<Record<string, string>> {
  const files: Record<string, string> = {}
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name)
    if (!entry.isDirectory() && entry.name !== 'verified.json')
      files[path.slice(folder.length).replace(/-[0-9a-f]{12}(?=\/)/g, '')] = createHash('sha256')
        .update(await readFile(path))
        .digest('hex')
  }
  return files
}

export const isLeftover = (path: string): boolean => /\.partial-|\block$|\.takeover$/.test(path)
