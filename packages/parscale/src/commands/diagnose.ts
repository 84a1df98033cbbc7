/** `parscale diagnose`: whether a model's streams do something, on a text of one's own. */
import { type Command, Option } from '@commander-js/extra-typings'
import { usageError } from '@parscale/core'
import { diagnose } from '@parscale/core/evaluation'
import { Engine } from '@parscale/core/generation'
import type { ModelFolder } from '@parscale/core/node'
import { createTokenizer, tokenizerFiles } from '@parscale/core/tokenizer'
import { loadModel } from '../load/load.ts'
import type { Io } from '../terminal/io.ts'
import { drawInFile, plotOption } from '../terminal/plots.ts'
import { diagnosisCharts } from './diagnose-charts.ts'
import { diagnosisReport } from './diagnose-report.ts'
import {
  addOptions,
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
import { readTextFile } from './text-input.ts'

const examples = `
Examples:
  parscale diagnose ./model --data held-out.txt
  parscale diagnose ./model --data held-out.txt --tokens 2000 --p 4 --plot streams.svg
  parscale diagnose ./model --data pile.txt --floor 1.2888 --json      (E of the law fitted to the Pile)

Losses are in nats a token. A text longer than the model's context is read through windows that overlap by half.
An alarm does not change the exit code; --json lists alarms under "alarms".`

interface Flags {
  readonly data?: string
  readonly text?: string
  readonly ids?: number[]
  readonly tokens?: number
  readonly floor?: number
  readonly plot?: string
  readonly p?: number
  readonly streamSet?: string[]
  readonly bits?: 8 | 4
  readonly device?: 'cpu' | 'webgpu' | 'cuda'
  readonly threads?: number
  readonly json?: true
}

export function registerDiagnose(program: Command, io: Io): void {
  const command = program
    .command('diagnose')
    .description('whether the streams work: losses, correlation, weights, alarms')
    .argument('[model]', 'folder, .gguf file or ORG/NAME')
  addOptions(command, [
    // --file as well, as `score` and `generate` call it.
    new Option('--file, --data <path>', 'the text to read, UTF-8').conflicts(['text', 'ids']),
    new Option('--text <text>', 'the text itself').conflicts(['data', 'ids']),
    new Option('--ids <ids>', 'token ids, separated by commas').argParser(parseIds).conflicts(['text', 'data']),
    new Option('--tokens <n>', 'read the first n tokens only').argParser(integer(3)),
    new Option('--floor <nats>', "the text's entropy E, where known; rho is an upper bound without it")
      .argParser(number)
      .default(0),
    plotOption,
    pOption,
    streamSetOption,
    bitsOption(),
    deviceOption,
    threadsOption,
    new Option('--json', 'print the result as JSON'),
  ])
  command.addHelpText('after', examples).action(async (model) => {
    const flags = command.opts() as unknown as Flags
    if (flags.text === undefined && flags.data === undefined && flags.ids === undefined)
      throw usageError('there is nothing to read; give --data, --text or --ids')
    const content = flags.text ?? (flags.data === undefined ? undefined : await readTextFile(flags.data, 'data'))
    const longest = flags.tokens ?? flags.ids?.length ?? longestInTokens(content!)
    const loaded = await loadModel(model, loadOptions(io, flags, longest))
    try {
      const ids = (flags.ids ?? (await encode(loaded.backbone, content!))).slice(0, flags.tokens)
      const progress = io.progress('diagnosing', 'tokens')
      const diagnosis = await diagnose(new Engine(loaded.model), ids, {
        p: flags.p,
        floor: flags.floor,
        signal: io.signal,
        onProgress: (done, total) => progress.update(done, total),
      }).finally(() => progress.end())
      io.stdout(flags.json ? `${JSON.stringify(diagnosis, null, 2)}\n` : diagnosisReport(diagnosis))
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
  return createTokenizer(await tokenizerFiles(folder), folder.path).encode(content)
}
