/** `parscale eval`: tasks of lm-evaluation-harness on a model, by P. */
import { type Command, InvalidArgumentError, Option } from '@commander-js/extra-typings'
import { usageError } from '@parscale/core/internal'
import type { TextModel } from '@parscale/core/internal/generation'
import type { ProgramJudge } from '../evaluate/programs.ts'
import { loadTextModel } from '../load/load.ts'
import { checkModules } from '../sandbox/check-modules.ts'
import { judgeInto } from '../sandbox/judge-into.ts'
import { limitsOf } from '../sandbox/limits.ts'
import { probeSandbox } from '../sandbox/probe.ts'
import { findPython } from '../sandbox/python.ts'
import type { Io } from '../terminal/io.ts'
import { plotOption } from '../terminal/plots.ts'
import {
  bitsOption,
  deviceOption,
  engineOption,
  type FlagsOf,
  forAnyCommand,
  integer,
  list,
  loadOptions,
  streamSetOption,
  threadsOption,
} from './options.ts'

const examples = `
Examples:
  parscale eval ./model --tasks hellaswag,arc_easy --p 1,2,4,8 --limit 200
  parscale eval ./model --tasks gsm8k --apply-chat-template --fewshot-as-multiturn --out results
  parscale eval ./model --tasks gsm8k --out results --resume           (goes on where it was ended)
  parscale eval ./model --tasks humaneval --p 1,8 --out results        (programs, for parscale judge)
  parscale eval ./model --tasks humaneval --allow-code                 (runs them, in a sandbox)
  parscale eval ./model --tasks my-task.yaml --data my-task=questions.jsonl
  parscale eval --server http://localhost:8000/v1 NAME --tasks piqa    (any OpenAI-compatible server)

Tasks are those of lm-evaluation-harness: names that ship here, or YAML files of
your own. Data sets come from the hub. docs/evaluate.md lists both.`

const share = (text: string): number => {
  const value = Number(text)
  if (!(value > 0) || (value >= 1 && !Number.isInteger(value)))
    throw new InvalidArgumentError('it must be a number of questions, or a share of them below 1.')
  return value
}

const local = (text: string, known: ReadonlyMap<string, string> = new Map()): Map<string, string> => {
  const [, name, path] = /^([^=]+)=(.+)$/.exec(text) ?? []
  if (name === undefined || path === undefined) throw new InvalidArgumentError('it must be TASK=FILE or TASK=FOLDER.')
  return new Map([...known, [name, path]])
}

/** key=value,key=value, as lm_eval's --gen_kwargs. */
const keyValues = (text: string): Record<string, unknown> =>
  Object.fromEntries(
    text.split(',').map((pair) => {
      const [, key, value] = /^\s*([^=\s]+)\s*=(.*)$/s.exec(pair) ?? []
      if (key === undefined) throw new InvalidArgumentError('it must be KEY=VALUE,..., such as temperature=0.2,max_gen_toks=512.')
      return [key, plainValue(value!.trim())]
    }),
  )

function plainValue(text: string): unknown {
  if (/^(?:true|false)$/i.test(text)) return text.toLowerCase() === 'true'
  return text !== '' && Number.isFinite(Number(text)) ? Number(text) : text
}

const evalOptions = (command: Command) =>
  command
    .addOption(
      new Option('--tasks <names>', 'tasks, groups or YAML files, separated by commas')
        .argParser(list((name) => name))
        .makeOptionMandatory(),
    )
    .addOption(
      new Option('--p <streams>', "streams, separated by commas; all in one load (default: the model's largest)").argParser(
        list(integer(1)),
      ),
    )
    .addOption(new Option('--limit <n>', 'the first n questions of each task, or a share below 1').argParser(share))
    .addOption(new Option('--num-fewshot <n>', "examples before each question (default: the task's)").argParser(integer(0)))
    .option('--apply-chat-template', "write prompts with the model's chat template")
    .option('--fewshot-as-multiturn', 'examples as turns of their own; with --apply-chat-template')
    .option('--system-instruction <text>', 'a system prompt before each question')
    .addOption(
      new Option('--seed <n>', 'of the examples drawn, and of texts where these are drawn').argParser(integer(0)).default(1234),
    )
    .addOption(new Option('--batch <n>', 'questions computed together').argParser(integer(1)).default(8))
    .option('--out <folder>', 'write results, and each answer as it comes')
    .option('--resume', 'go on with the answers in --out')
    .option('--log-samples', 'write prompts and answers to --out as well')
    .option('--predict-only', 'write answers without judging them; with --out')
    .addOption(
      new Option('--gen-kwargs <list>', "of texts, in place of the task's: temperature=0.2,max_gen_toks=512").argParser(
        keyValues,
      ),
    )
    .addOption(new Option('--num-samples <n>', 'programs of each problem, for pass@k (humaneval, mbpp)').argParser(integer(1)))
    .option('--allow-code', 'run programs that the model writes, in a sandbox, as parscale judge')
    .option('--python <path>', "the interpreter for them, with the packages that they need (default: the system's)")
    .addOption(
      new Option('--data <task=path>', "a file or folder in place of a task's data set; may be repeated").argParser(local),
    )
    .option('--include-path <folder>', 'a folder of further task files')
    .addOption(plotOption)
    .option('--diagnose', 'beside the figures, what the streams do on the questions; as parscale diagnose')
    .option('--truncate', 'cut the beginnings of prompts that are too long, rather than refuse them')
    .addOption(new Option('--format <format>', 'of what is printed').choices(['markdown', 'latex', 'json']).default('markdown'))
    .addOption(new Option('--json', 'the same as --format json').implies({ format: 'json' as const }))
    .addOption(new Option('--server <url>', 'ask an OpenAI-compatible server, /v1 included, for the model of this name'))
    .addOption(streamSetOption)
    .addOption(bitsOption())
    .addOption(engineOption)
    .addOption(deviceOption)
    .addOption(threadsOption)

const withOptions = forAnyCommand(evalOptions)
type Flags = FlagsOf<typeof evalOptions>

export function register(command: Command, io: Io): void {
  withOptions(command.argument('[model]', 'folder, .gguf file, ORG/NAME or s3://BUCKET/KEY'))
    .addHelpText('after', examples)
    .action(async (model, flags) => {
      checkFlags(flags)
      const { evaluateModel } = await import('../evaluate/evaluate.ts')
      const judge = flags.allowCode ? programJudge(flags.python) : undefined
      const options = { ...flags, model, atOnce: flags.batch, judge, signal: io.signal }
      if (flags.server !== undefined) return await evaluateModel(io, options, undefined)
      const load = () => loadTextModel(model, loadOptions(io, { ...flags, p: flags.p && Math.max(...flags.p) }))
      let loaded: TextModel | undefined
      try {
        await evaluateModel(io, options, async () => {
          loaded = await load()
          return loaded
        })
      } finally {
        await loaded?.dispose()
      }
    })
}

/** The sandbox, as parscale judge has it by default. */
const programJudge = (python: string | undefined): ProgramJudge => ({
  async probe(problems, signal) {
    const found = await findPython(python)
    await checkModules(found, problems)
    await probeSandbox(found, limitsOf(), signal)
  },
  judge: (problems, samples, files, signal) => judgeInto(problems, samples, files, { allowCode: true, python, signal }),
})

function checkFlags({
  resume,
  logSamples,
  predictOnly,
  out,
  fewshotAsMultiturn,
  applyChatTemplate,
  server,
  diagnose,
  allowCode,
  python,
}: Flags): void {
  if (allowCode && predictOnly)
    throw usageError('--predict-only judges nothing, and --allow-code is there to judge; give one of them', {
      flag: 'allow-code',
    })
  if (python !== undefined && !allowCode) throw usageError('--python runs programs, which needs --allow-code', { flag: 'python' })
  for (const [flag, given] of Object.entries({ resume, 'log-samples': logSamples, 'predict-only': predictOnly }))
    if (given && out === undefined) throw usageError(`--${flag} needs --out FOLDER`, { flag })
  if (fewshotAsMultiturn && !applyChatTemplate)
    throw usageError('--fewshot-as-multiturn needs --apply-chat-template', { flag: 'fewshot-as-multiturn' })
  if (server !== undefined && applyChatTemplate)
    throw usageError('--apply-chat-template needs the model itself; a server says nothing of its template', { flag: 'server' })
  if (server !== undefined && diagnose)
    throw usageError('--diagnose needs the model itself; a server shows no single streams', { flag: 'server' })
}
