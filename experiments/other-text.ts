/** What an experiment needs beside its runs' own evaluations, measured once and kept. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { type Difference, type Losses, pairedDifference } from './compare.ts'
import type { Experiment, Run } from './experiments.ts'
import { otherLosses, plainLosses } from './held-out.ts'

export const plainVariant = 'the model as it is'

/** The starting model on the held-out data, where the experiment asks for it. */
export async function plainModel(root: string, name: string, { runs, pairs }: Experiment): Promise<Losses | undefined> {
  if (!pairs.flat().includes(plainVariant)) return undefined
  const folder = join(root, '.cache/experiments')
  return await kept(join(folder, `${name}-plain.json`), () => plainLosses(join(folder, runs[0]!.name)))
}

/** What runs, and the model they started from, make of the unrelated text: how much worse each is than that model. */
export async function otherTextLosses(
  root: string,
  name: string,
  { otherText }: Experiment,
  runs: readonly Run[],
): Promise<({ readonly variant: string; readonly loss: number } & Difference)[] | undefined> {
  if (!otherText || runs.length === 0) return undefined
  const file = resolve(root, otherText)
  const folder = (run: Run) => join(root, '.cache/experiments', run.name)
  const plain = await kept(join(root, '.cache/experiments', `${name}-plain-other.json`), () =>
    otherLosses(folder(runs[0]!), file, 'plain'),
  )
  const results = [{ variant: plainVariant, losses: plain }]
  for (const run of runs) {
    const losses = await kept(join(folder(run), 'other-text.json'), () => otherLosses(folder(run), file, 'trained'))
    results.push({ variant: run.variant, losses })
  }
  return results.map(({ variant, losses }) => ({ variant, loss: losses.loss, ...pairedDifference([plain], [losses]) }))
}

async function kept(file: string, make: () => Promise<Losses>): Promise<Losses> {
  if (existsSync(file)) return JSON.parse(readFileSync(file, 'utf8')) as Losses
  const losses = await make()
  writeFileSync(file, `${JSON.stringify(losses)}\n`)
  return losses
}
