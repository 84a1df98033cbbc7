/** What is kept of a finished run, as open data: docs/experiments/streams/runs/NAME.json. */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type RunName, runName } from './cells.ts'

/** One held-out document. */
export interface DocumentLoss {
  /** Sum over its tokens. */
  readonly nats: number
  readonly tokens: number
}

export interface StreamFigures {
  /** Pearson correlation of the streams' residuals, mean over pairs. */
  readonly rho: number
  /** Share of tokens whose likeliest next token differs, mean over pairs. */
  readonly disagreement: number
  /** Entropy of the weights over ln P. */
  readonly entropy: number
  /** Share of tokens that the stream leads which leads most. */
  readonly leadingShare: number
  /** Nats a token: together, averaged, probabilities averaged, and each alone. */
  readonly together: number
  readonly average: number
  readonly ensemble: number
  readonly alone: readonly number[]
}

export interface Record {
  readonly name: string
  readonly size: string
  readonly variant: string
  readonly p: number
  readonly rate: number
  readonly seed: number
  /** Of `parscale train`. */
  readonly args: readonly string[]
  readonly parameters: number
  readonly tokens: number
  readonly trainingSeconds: number
  readonly machine: string
  /** Held out, in the order of the data. */
  readonly documents: readonly DocumentLoss[]
  readonly streams?: StreamFigures
}

const folder = 'docs/experiments/streams/runs'

export const hasRecord = (root: string, run: RunName): boolean => existsSync(join(root, folder, `${runName(run)}.json`))

export function readRecords(root: string): Record[] {
  if (!existsSync(join(root, folder))) return []
  const names = readdirSync(join(root, folder)).filter((name) => name.endsWith('.json'))
  return names.sort().map((name) => JSON.parse(readFileSync(join(root, folder, name), 'utf8')) as Record)
}

export function writeRecord(root: string, record: Record): void {
  const rounded = (_: string, value: unknown) => (typeof value === 'number' ? Number(value.toPrecision(8)) : value)
  writeFileSync(join(root, folder, `${record.name}.json`), `${JSON.stringify(record, rounded)}\n`)
}

/** Every third document serves to choose rates; the others are what is reported. */
const servesToChoose = (index: number): boolean => index % 3 === 0

export const choosingLoss = ({ documents }: Pick<Record, 'documents'>): number =>
  meanLoss(documents.filter((_, i) => servesToChoose(i)))
export const reportedDocuments = ({ documents }: Pick<Record, 'documents'>): DocumentLoss[] =>
  documents.filter((_, i) => !servesToChoose(i))
export const reportedLoss = (record: Pick<Record, 'documents'>): number => meanLoss(reportedDocuments(record))
export const isReported = (index: number): boolean => !servesToChoose(index)

export function meanLoss(documents: readonly DocumentLoss[]): number {
  const sum = (of: (each: DocumentLoss) => number) => documents.reduce((total, each) => total + of(each), 0)
  return sum(({ nats }) => nats) / sum(({ tokens }) => tokens)
}
