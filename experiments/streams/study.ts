/**
 * Trains what the study of streams (cells.ts) lacks, several runs side by side, and prints its tables:
 *
 *     npm run experiments -- streams                    until nothing is left; --compare prints tables only
 *     npm run experiments -- streams --size 35k         cells of one size; --jobs 2: runs side by side
 *     npm run experiments -- streams --variant window   cells of variants whose names contain this
 *
 * Interrupted runs go on where they were. A finished run leaves docs/experiments/streams/runs/NAME.json and no folder.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { readRun } from '@parscale/core/internal/node'
import { parseRunConfig } from '@parscale/core/internal/training'
import { nativeRuntime } from '@parscale/native'
import { createIo } from '../../packages/parscale/src/terminal/io.ts'
import { openRunInputs } from '../../packages/parscale/src/train/run-inputs.ts'
import { type Cell, cells, membersOf, type RunName, runArguments, runName, type Size } from './cells.ts'
import { mixedLosses, type SequenceLosses } from './mixed-losses.ts'
import { nextRuns } from './plan.ts'
import {
  type DocumentLoss,
  hasRecord,
  isReported,
  meanLoss,
  type Record,
  readRecords,
  type StreamFigures,
  writeRecord,
} from './records.ts'

/** Tokens of each reported document on which streams are looked at. */
const diagnosedTokens = 256

export async function runStudy(
  root: string,
  { jobs, size, variant = '' }: { jobs: number; size?: string | undefined; variant?: string | undefined },
): Promise<void> {
  mkdirSync(join(root, 'docs/experiments/streams/runs'), { recursive: true })
  const chosen = cells.filter((cell) => (size === undefined || cell.size.name === size) && cell.variant.name.includes(variant))
  const running = new Map<string, ChildProcess | undefined>()
  const failed = new Set<string>()
  let stopped = false
  const stop = () => {
    stopped = true
    for (const child of running.values()) child?.kill('SIGTERM')
  }
  process.once('SIGINT', stop).once('SIGTERM', stop)
  const work = async (): Promise<void> => {
    for (;;) {
      const run = stopped ? undefined : firstRun(root, chosen, (name) => running.has(name) || failed.has(name))
      if (!run) {
        if (stopped || running.size === 0) return
        await new Promise((resolve) => setTimeout(resolve, 1000)) // what runs now may decide what is next
        continue
      }
      const name = runName(run)
      running.set(name, undefined)
      const code = await trainAll(root, run, (child) => running.set(name, child))
      if (code === 0) await keep(root, run)
      else if (!stopped) failed.add(name)
      running.delete(name)
    }
  }
  await Promise.all(Array.from({ length: jobs }, work))
  if (failed.size > 0) console.error(`failed: ${[...failed].join(', ')}`)
}

function firstRun(root: string, chosen: readonly Cell[], isTaken: (name: string) => boolean): RunName | undefined {
  const records = readRecords(root)
  for (const cell of chosen) {
    const next = nextRuns(records, cell).find((run) => !isTaken(runName(run)))
    if (next) return next
  }
  return undefined
}

/** Members of an independent run lie below it. */
const folderOf = (run: RunName, whole = run): string =>
  join('.cache/experiments/streams', runName(whole), ...(run === whole ? [] : [`seed${run.seed}`]))

/** The exit status of the first that failed, or 0. */
async function trainAll(root: string, run: RunName, onStart: (child: ChildProcess) => void): Promise<number> {
  for (const each of run.cell.variant.independent ? membersOf(run) : [run]) {
    const code = await train(root, each, folderOf(each, run), onStart)
    if (code !== 0) return code
  }
  return 0
}

async function train(root: string, run: RunName, folder: string, onStart: (child: ChildProcess) => void): Promise<number> {
  if (existsSync(join(root, folder, 'evaluation.json'))) return 0
  const begun = existsSync(join(root, folder, 'config.json'))
  const args = ['train', ...(begun ? ['--resume', folder] : [...runArguments(run), '--out', folder]), '--threads', '1', '--quiet']
  const child = spawn(process.execPath, [join(root, 'packages/parscale/bin/parscale.js'), ...args], {
    cwd: root,
    stdio: ['ignore', 'ignore', 2],
    detached: true, // so that Ctrl-C reaches it once, from here
  })
  onStart(child)
  return await new Promise((resolve) => child.on('close', (code) => resolve(code ?? 1)))
}

/** Writes down what a finished run has shown, and removes its folder. */
async function keep(root: string, run: RunName): Promise<void> {
  if (hasRecord(root, run)) return
  const { cell, rate, seed } = run
  const { size, variant } = cell
  const folder = join(root, folderOf(run))
  const members = variant.independent ? membersOf(run).map((member) => join(root, folderOf(member, run))) : [folder]
  const { nats, counts, documents }: SequenceLosses = variant.independent
    ? await mixedLosses(members)
    : JSON.parse(readFileSync(join(folder, 'evaluation.json'), 'utf8'))
  const steps = members.map(trainingSteps)
  const streams = variant.p > 1 && !variant.independent ? await streamFigures(root, folder, size) : undefined
  const sum = (values: number[]) => values.reduce((a, b) => a + b, 0)
  const record: Record = {
    name: runName(run),
    size: size.name,
    variant: variant.name,
    p: variant.p,
    rate,
    seed,
    args: runArguments(variant.independent ? membersOf(run)[0]! : run),
    parameters: sum(members.map((member) => countParameters(join(member, 'model/model.safetensors')))),
    tokens: sum(steps.map((each) => each.at(-1)!.tokens)),
    trainingSeconds: sum(steps.flat().map(({ seconds }) => seconds)),
    machine: cpus()[0]!.model,
    documents: documentLosses({ nats, counts, documents }),
    ...(streams && { streams }),
  }
  writeRecord(root, record)
  rmSync(folder, { recursive: true })
  const figures = streams ? `, rho ${streams.rho.toFixed(3)}, disagreement ${streams.disagreement.toFixed(2)}` : ''
  console.error(`${runName(run)}: ${meanLoss(record.documents).toFixed(4)} nats a token${figures}`)
}

/** Of each document, in their order. */
function documentLosses({ nats, counts, documents: numbers }: SequenceLosses): DocumentLoss[] {
  const documents: DocumentLoss[] = []
  for (const [i, document] of numbers.entries()) {
    const { nats: sum, tokens } = documents[document] ?? { nats: 0, tokens: 0 }
    documents[document] = { nats: sum + nats[i]!, tokens: tokens + counts[i]! }
  }
  return documents
}

const trainingSteps = (folder: string): { tokens: number; seconds: number }[] =>
  readFileSync(join(folder, 'metrics.jsonl'), 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as { kind: string; tokens: number; seconds: number })
    .filter(({ kind }) => kind === 'train')

/** All numbers in a safetensors file: a tied embedding stands in it once. */
function countParameters(file: string): number {
  const bytes = readFileSync(file)
  const header = JSON.parse(bytes.subarray(8, 8 + Number(bytes.readBigUInt64LE(0))).toString()) as {
    [name: string]: { shape?: number[] }
  }
  return Object.values(header).reduce((sum, { shape }) => sum + (shape ? shape.reduce((a, b) => a * b, 1) : 0), 0)
}

async function streamFigures(root: string, folder: string, { text, vocabulary }: Size): Promise<StreamFigures> {
  const texts = join(root, `.cache/experiments/streams/diagnosed-${text.name}-${vocabulary}.jsonl`)
  if (!existsSync(texts)) writeFileSync(texts, await diagnosedTexts(folder))
  const { stdout, status } = spawnSync(
    process.execPath,
    [
      join(root, 'packages/parscale/bin/parscale.js'),
      'diagnose',
      join(folder, 'model'),
      '--jsonl',
      texts,
      '--threads',
      '1',
      '--json',
    ],
    { encoding: 'utf8', stdio: ['ignore', 'pipe', 2], maxBuffer: 2 ** 28 },
  )
  if (status !== 0) throw new Error(`parscale diagnose ${folder} ended with ${status}`)
  const { losses, correlation, disagreement, weights } = JSON.parse(stdout)
  const pairs = (disagreement as number[][]).flatMap((row, i) => row.filter((_, j) => j < i))
  return {
    rho: correlation.meanRho,
    disagreement: pairs.reduce((sum, each) => sum + each, 0) / pairs.length,
    entropy: weights.entropy,
    leadingShare: Math.max(...weights.leads),
    together: losses.aggregate,
    average: losses.average.loss,
    ensemble: losses.ensemble.loss,
    alone: losses.streams.map(({ loss }: { loss: number }) => loss),
  }
}

/** The beginnings of the reported documents, JSON lines: for all runs with this tokenizer. */
async function diagnosedTexts(folder: string): Promise<string> {
  const inputs = await openRunInputs(createIo(), nativeRuntime(), parseRunConfig((await readRun(folder)).config, folder), {
    tokenizerFolder: join(folder, 'tokenizer'),
  })
  try {
    const { heldOut, tokenizer } = inputs
    const begins = [0, ...heldOut.ends].slice(0, heldOut.documents).filter((_, i) => isReported(i))
    const texts = begins.map(async (start) => {
      const { ids } = await heldOut.read(start, diagnosedTokens)
      return JSON.stringify({ text: tokenizer.decode([...ids]) })
    })
    return `${(await Promise.all(texts)).join('\n')}\n`
  } finally {
    await inputs.close()
  }
}
