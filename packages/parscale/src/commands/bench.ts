/** `parscale bench`: how fast a model is on this machine, what memory it takes, and how far that is from what the machine allows. */
import { type Command, Option } from '@commander-js/extra-typings'
import { usageError } from '@parscale/core/internal'
import { publishedModels } from '@parscale/core/internal/cost'
import { type KvType, kvTypes } from '@parscale/core/internal/model'
import { planModel, planShape } from '../bench/bench-model.ts'
import { resolveShape } from '../bench/model-shape.ts'
import { runBench } from '../bench/run-bench.ts'
import { openWorkplace } from '../bench/workplace.ts'
import { chooseEngine, type EngineChoice, type EngineName, engineChoices } from '../load/decode-engine.ts'
import { cacheFolder } from '../load/find-model.ts'
import { engineOf } from '../load/load.ts'
import { outlineModel } from '../load/outline.ts'
import { type Io, report } from '../terminal/io.ts'
import { drawInFile, plotOption } from '../terminal/plots.ts'
import { countList } from '../terminal/quantity.ts'
import { figure4Setting, showMeasuredFigure4 } from './bench-figure4.ts'
import { benchCharts, benchText } from './bench-report.ts'
import { refuseGiven } from './law-options.ts'
import { integer, list, oneOf } from './options.ts'

const sizes = publishedModels.map(({ name }) => name)
const examples = `
MODEL is a folder, .gguf file, ORG/NAME or s3://BUCKET/KEY (default: the model that ships); P that it lacks are measured with random streams.
--shape takes random weights instead. Each turn is a process of its own; rounds go through all cases in turns. Lists: 1,8.

Examples:
  parscale bench --shape 1.6B --p 1,8 --bits 8 --context 256 --json
  parscale bench ./model --p 1,2,4,8 --batch 1,4 --plot bench.svg
  parscale bench --shape 1.6B --bits 8,4 --layers 4 --rounds 1          a quick look: 4 of 36 layers
  parscale bench --figure 4 --batch 1 --resume figure4.jsonl            the paper's cost figure, measured`

export function register(command: Command, io: Io): void {
  const counts = <Flag extends string>(flag: Flag, what: string) =>
    new Option(`${flag} <list>` as const, what).argParser(countList)
  command
    .argument('[model]', 'folder, .gguf file, ORG/NAME or s3://BUCKET/KEY')
    .addOption(new Option('--shape <size>', 'a published shape with random weights').choices(sizes))
    .addOption(new Option('--layers <n>', 'of the shape, instead of 36').argParser(integer(1)))
    .addOption(new Option('--vocab <n>', 'vocabulary of the shape').argParser(integer(256)))
    .addOption(counts('--p', "streams (default: the model's; of a shape 1,8)"))
    .addOption(counts('--batch', 'requests that are stepped together').default([1], '1'))
    .addOption(counts('--context', 'tokens in the cache when decoding is measured').default([256], '256'))
    .addOption(new Option('--prompt <n>', 'tokens of prefill (default: as the context)').argParser(integer(1)))
    .addOption(
      new Option('--bits <list>', 'of a weight: 8, 4 or 32 (default: 8; a MODEL as it is stored)').argParser(
        list(oneOf([8, 4, 32])),
      ),
    )
    .addOption(
      new Option('--kv <list>', `numbers of the KV cache: ${kvTypes.join(', ')}`)
        .argParser(list(oneOf(kvTypes)))
        .default(['f32' as KvType], 'f32; f16 of --figure 4'),
    )
    .addOption(counts('--threads', 'CPU threads (default: one per physical core)'))
    .addOption(
      new Option('--engine <list>', engineChoices.join(', '))
        .argParser(list(oneOf(engineChoices)))
        .default(['auto' as const], 'auto'),
    )
    .addOption(new Option('--steps <n>', 'measured tokens a turn').argParser(integer(1)).default(16))
    .addOption(new Option('--rounds <n>', 'turns of each case').argParser(integer(1)).default(3))
    .addOption(new Option('--figure <n>', 'a figure of the paper, measured').choices(['4']))
    .option('--quick', 'of --figure 4 the cases of the headline only: batch 1, one round')
    .option('--keep', 'leave the random models in the cache for later runs')
    .option('--resume <file>', 'note each turn in this file, and take those that are in it as done')
    .addOption(plotOption)
    .option('--json', 'print JSON')
    .addHelpText('after', examples)
    .action(async (source, given, command) => {
      const { figure, quick, ...flags } = given
      if (figure === undefined && quick) throw usageError('--quick has no effect without --figure 4', { flag: '--quick' })
      if (flags.shape !== undefined && source !== undefined)
        throw usageError(`give either MODEL or --shape, not both: ${source} and ${flags.shape}`, { flag: '--shape' })
      if (figure !== undefined) {
        if (source !== undefined)
          throw usageError(`MODEL has no effect with --figure, got ${source}`, { flag: 'MODEL', found: source })
        refuseGiven(command, ['shape', 'context', ...(quick ? ['p', 'batch', 'rounds'] : [])], 'with this figure')
      } else if (flags.shape === undefined) refuseGiven(command, ['layers', 'vocab', 'keep'], 'without --shape')

      const workplace = await openWorkplace(cacheFolder(io.env))
      const common = {
        ...flags,
        workplace,
        engine: await enginesOf(flags.engine, figure === undefined && flags.shape === undefined ? { source } : undefined, io),
        threads: flags.threads ?? ([undefined] as const),
        prompt: flags.prompt,
      }
      try {
        if (figure !== undefined) {
          const isDefault = (name: 'p' | 'batch' | 'kv') => command.getOptionValueSource(name) !== 'cli'
          const setting = figure4Setting(quick === true, flags, isDefault)
          return await showMeasuredFigure4(io, { ...common, ...setting })
        }
        const plans = []
        let p: readonly number[] | undefined = flags.p
        if (flags.shape !== undefined) {
          p ??= [1, 8]
          const { shape } = await resolveShape(flags.shape, flags, io.env)
          const name = flags.layers === undefined ? flags.shape : `${flags.shape} of ${flags.layers} layers`
          for (const bits of flags.bits ?? [8])
            plans.push(await planShape(name, shape, bits, p, { workplace, keep: flags.keep === true }))
        } else {
          for (const bits of flags.bits ?? [undefined]) {
            const planned = await planModel({ model: source, bits, streams: p, workplace, env: io.env })
            p ??= planned.streams
            plans.push(planned)
          }
        }
        const result = await runBench(plans, { ...common, p: p! }, io)
        if (flags.json) io.stdout(`${JSON.stringify(result, null, 2)}\n`)
        else report(io, benchText(result, io.columns))
        if (flags.plot !== undefined) await drawInFile(io, flags.plot, benchCharts(result.rows), 2)
      } finally {
        await workplace.close()
      }
    })
}

/** `auto` is what other commands would take for the model, or for one with prefixes as streams. Says what they run with. */
async function enginesOf(
  choices: readonly EngineChoice[],
  model: { readonly source: string | undefined } | undefined,
  { env, stderr }: Io,
): Promise<EngineName[]> {
  const outline = model && (await outlineModel(model.source, { env }))
  const names = new Set<EngineName>()
  for (const choice of choices) {
    const { engine, decoders } = await (outline ? engineOf(outline, { engine: choice }) : chooseEngine([], { engine: choice }))
    if (!names.has(engine) && decoders.runsWith !== undefined) stderr(`${engine} runs with ${decoders.runsWith}\n`)
    names.add(engine)
  }
  return [...names]
}
