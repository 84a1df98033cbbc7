/** `parscale diagnose`: whether a model's streams differ and help, measured on a text of the user's. */
import { type Command, Option } from '@commander-js/extra-typings'
import { usageError } from '@parscale/core/internal'
import { diagnose } from '@parscale/core/internal/evaluation'
import { Engine } from '@parscale/core/internal/generation'
import type { ModelFolder } from '@parscale/core/internal/node'
import { createTokenizer, tokenizerFiles } from '@parscale/core/internal/tokenizer'
import { loadModel } from '../load/load.ts'
import { type Io, report } from '../terminal/io.ts'
import { drawInFile, plotOption } from '../terminal/plots.ts'
import { diagnosisCharts } from './diagnose-charts.ts'
import { diagnosisReport } from './diagnose-report.ts'
import {
  bitsOption,
  deviceOption,
  integer,
  loadOptions,
  longestInTokens,
  number,
  pOption,
  streamSetOption,
  threadsOption,
} from './options.ts'
import { readTextFile, readTextLines } from './text-input.ts'

const examples = `
Examples:
  parscale diagnose ./model --data held-out.txt
  parscale diagnose ./model --data held-out.txt --tokens 2000 --p 4 --plot streams.svg
  parscale diagnose ./model --data pile.txt --floor 1.2888 --json      (E of the law fitted to the Pile)

Losses are in nats a token. A text longer than the model's context is read through windows that overlap by half.
An alarm does not change the exit code; --json lists alarms under "alarms".`

export function register(command: Command, io: Io): void {
  command
    .argument('[model]', 'folder, .gguf file, ORG/NAME or s3://BUCKET/KEY')
    // --file as well, as `score` and `generate` call it.
    .addOption(new Option('--file, --data <path>', 'the text to read, UTF-8').conflicts(['text', 'ids', 'jsonl']))
    .addOption(new Option('--text <text>', 'the text itself').conflicts(['data', 'ids', 'jsonl']))
    .addOption(
      new Option('--ids <ids>', 'token ids, separated by commas').argParser(parseIds).conflicts(['text', 'data', 'jsonl']),
    )
    .addOption(new Option('--jsonl <path>', 'texts to read together: JSON lines, one object a line'))
    .addOption(new Option('--field <name>', 'field of --jsonl that holds the text').default('text'))
    .addOption(new Option('--tokens <n>', 'read the first n tokens only').argParser(integer(3)))
    .addOption(
      new Option('--floor <nats>', "the text's entropy E, where known; rho is an upper bound without it")
        .argParser(number)
        .default(0),
    )
    .addOption(plotOption)
    .addOption(pOption)
    .addOption(streamSetOption)
    .addOption(bitsOption())
    .addOption(deviceOption)
    .addOption(threadsOption)
    .option('--json', 'print the result as JSON')
    .addHelpText('after', examples)
    .action(async (model, flags) => {
      if (flags.text === undefined && flags.data === undefined && flags.ids === undefined && flags.jsonl === undefined)
        throw usageError('there is nothing to read; give --data, --text or --ids, or --jsonl')
      const content = flags.text ?? (flags.data === undefined ? undefined : await readTextFile(flags.data, 'data'))
      const longest = flags.tokens ?? flags.ids?.length ?? (content === undefined ? undefined : longestInTokens(content))
      const loaded = await loadModel(model, loadOptions(io, flags, longest))
      try {
        const ids =
          flags.jsonl === undefined
            ? (flags.ids ?? (await encode(loaded.backbone, content!))).slice(0, flags.tokens)
            : await encodeLines(loaded.backbone, flags.jsonl, { ...flags, signal: io.signal })
        const progress = io.progress('diagnosing', 'tokens')
        const diagnosis = await diagnose(new Engine(loaded.model), ids, {
          p: flags.p,
          floor: flags.floor,
          signal: io.signal,
          onProgress: (done, total) => progress.update(done, total),
        }).finally(() => progress.end())
        const { weights: precision } = loaded.model
        if (flags.json) io.stdout(`${JSON.stringify({ ...diagnosis, precision }, null, 2)}\n`)
        else report(io, diagnosisReport(diagnosis, precision, io.columns))
        if (flags.plot !== undefined) await drawInFile(io, flags.plot, diagnosisCharts(diagnosis), 2)
      } finally {
        await loaded.model.dispose()
        await loaded.close()
      }
    })
}

const parseIds = (text: string): number[] => text.split(',').map((id) => integer(0)(id.trim()))

/** Ids need no tokenizer, text does. */
async function encode(folder: ModelFolder, content: string): Promise<number[]> {
  return createTokenizer(await tokenizerFiles(folder), folder.path).encodeLong(content)
}

/** Whole texts, until so many tokens have been read. A text of one token says nothing and is left out. */
async function encodeLines(
  folder: ModelFolder,
  path: string,
  { tokens = Infinity, field, signal }: { tokens?: number; field: string; signal: AbortSignal },
): Promise<number[][]> {
  const tokenizer = createTokenizer(await tokenizerFiles(folder), folder.path)
  const texts: number[][] = []
  let left = tokens
  for await (const text of readTextLines(path, { field, signal })) {
    const ids = (await tokenizer.encodeLong(text, { signal })).slice(0, left)
    if (ids.length > 1) texts.push(ids)
    left -= ids.length
    if (left < 2) break
  }
  if (texts.length === 0) throw usageError(`--jsonl ${path}: holds no text of two tokens under "${field}"`, { flag: 'jsonl' })
  return texts
}
