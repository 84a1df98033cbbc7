/** `parscale compare`: what a model loses with fewer bits or in another format, measured token by token beside the original. */
import { type Command, Option } from '@commander-js/extra-typings'
import { usageError } from '@parscale/core/internal'
import { blockSizeOf, type QuantisedBits } from '@parscale/core/internal/checkpoint'
import { type Comparison, compareIds } from '@parscale/core/internal/evaluation'
import { Engine } from '@parscale/core/internal/generation'
import { type KvType, kvTypes } from '@parscale/core/internal/model'
import { isGgufFile } from '@parscale/core/internal/node/models'
import { createTokenizer, tokenizerFiles } from '@parscale/core/internal/tokenizer'
import { type EngineName, engineNames } from '../load/decode-engine.ts'
import { resolveModel } from '../load/find-model.ts'
import { engineOf, loadModel } from '../load/load.ts'
import { memoryOf } from '../load/memory.ts'
import { outlineModel } from '../load/outline.ts'
import { fetchingOf } from '../storage/fetching.ts'
import type { Io } from '../terminal/io.ts'
import { bytesText, textTable } from '../terminal/text-table.ts'
import { deviceOption, type FlagsOf, integer, list, loadOptions, oneOf, streamSetOption, threadsOption } from './options.ts'
import { powerOfTwo } from './quantize.ts'
import { readTextFile } from './text-input.ts'

const examples = `
Examples:
  parscale compare ./model --bits 8,4 --file held-out.txt
  parscale compare ./model --bits 4 --block-size 32,64,128 --p 1,2,4,8 --file held-out.txt --tokens 2000 --json
  parscale compare ./model ./model-int4 --file held-out.txt
  parscale compare ./model --kv f16,int8 --file held-out.txt              (keys and values in fewer bits)
  parscale compare ./model-int8 --engine native --file held-out.txt       (the native step beside ONNX Runtime)

The reference is MODEL as it is stored, a GGUF file's integers decoded, computed in float32. OTHER and every choice of bits and --kv are compared with it at each token:
KL is the divergence of the next token's distribution from the reference's in nats, agreement the share of tokens at which both
find the same one most probable, rms dp the root mean square change in the probability of the token that follows.`

const withOptions = (command: Command) =>
  command
    .argument('[model]', 'the reference: folder, .gguf file, ORG/NAME or s3://BUCKET/KEY')
    .argument('[other]', 'a model with the same vocabulary to compare with it')
    .addOption(
      new Option('--bits <list>', 'the model itself with weights in 8 or 4 bits, or both: 8,4').argParser(list(oneOf([8, 4]))),
    )
    .addOption(
      new Option('--block-size <list>', 'weights that share a scale: 32,64,128 (default: 128 at 8 bits, 32 at 4)').argParser(
        list(powerOfTwo),
      ),
    )
    .addOption(new Option('--kv <list>', 'keys and values in f16 or int8, or both: f16,int8').argParser(list(oneOf(kvTypes))))
    .addOption(new Option('--file <path>', 'the text to read, UTF-8').conflicts('text'))
    .addOption(new Option('--text <text>', 'the text itself').conflicts('file'))
    .addOption(new Option('--tokens <n>', 'read the first n tokens only').argParser(integer(2)))
    .addOption(new Option('--p <list>', "streams to run, such as 1,8 (default: the model's largest)").argParser(list(integer(1))))
    .addOption(streamSetOption)
    .addOption(
      new Option(
        '--engine <list>',
        `engines to compare: ${engineNames.join(', ')}; the reference then runs on onnx (default: auto, for both)`,
      ).argParser(list(oneOf(engineNames))),
    )
    .addOption(deviceOption)
    .addOption(threadsOption)
    .option('--json', 'print the result as JSON')

type Flags = FlagsOf<typeof withOptions>

/** What is held against the reference. */
interface Candidate {
  readonly model: string | undefined
  readonly bits?: QuantisedBits
  readonly blockSize?: number
  readonly kv?: KvType
  readonly engine?: EngineName
}

export function register(command: Command, io: Io): void {
  withOptions(command)
    .addHelpText('after', examples)
    .action(async (model, other, flags) => {
      const candidates = candidatesOf(model, other, flags)
      if (candidates.length === 0)
        throw usageError('there is nothing to compare with; give --bits, --kv, --engine or a second model')
      const text = flags.text ?? (flags.file === undefined ? undefined : await readTextFile(flags.file))
      if (text === undefined) throw usageError('there is nothing to read; give --file or --text')
      const rows = await compareAll(model, candidates, text, flags, io)
      io.stdout(flags.json ? `${JSON.stringify({ rows }, null, 2)}\n` : table(rows, io.columns))
    })
}

/** Every choice of weights with every choice of keys and values, on every engine. */
function candidatesOf(model: string | undefined, other: string | undefined, { bits, blockSize, kv, engine }: Flags): Candidate[] {
  const weights: Candidate[] = [
    ...(other === undefined ? [] : [{ model: other }]),
    ...(bits ?? []).flatMap((bits) => (blockSize ?? [blockSizeOf({ bits })]).map((blockSize) => ({ model, bits, blockSize }))),
  ]
  const times = <T extends object>(candidates: Candidate[], choices: readonly T[] = []): Candidate[] =>
    choices.length === 0
      ? candidates
      : (candidates.length > 0 ? candidates : [{ model }]).flatMap((one) => choices.map((choice) => ({ ...one, ...choice })))
  const caches = kv?.map((kv) => ({ kv }))
  return times(
    times(weights, caches),
    engine?.map((engine) => ({ engine })),
  )
}

interface Row extends Candidate, Comparison {
  readonly p: number
  /** Of the backbone, as the engine holds it. */
  readonly weightBytes: number
  /** Keys and values of the text. */
  readonly cacheBytes: number
}

async function compareAll(
  model: string | undefined,
  candidates: readonly Candidate[],
  text: string,
  flags: Flags,
  io: Io,
): Promise<Row[]> {
  const rows: Row[] = []
  const options = loadOptions(
    io,
    {
      ...flags,
      p: flags.p && Math.max(...flags.p),
      bits: await floatBits(model, io),
      kv: undefined,
      engine: flags.engine && 'onnx',
    },
    flags.tokens,
  )
  const reference = await loadModel(model, options)
  try {
    const tokenizer = createTokenizer(await tokenizerFiles(reference.backbone), reference.backbone.path)
    const ids = (await tokenizer.encodeLong(text, { signal: io.signal })).slice(0, flags.tokens)
    for (const candidate of candidates) {
      const changes = { ...options, ...(candidate.model === model ? {} : { bits: undefined }), ...candidate }
      const loaded = await loadModel(candidate.model, changes)
      try {
        const outline = await outlineModel(candidate.model, changes)
        const { decoders } = await engineOf(outline, changes)
        for (const p of flags.p ?? [reference.model.defaultP]) {
          const { estimate } = memoryOf(outline, decoders, { ...changes, p, contextTokens: ids.length })
          const { weightBytes, cacheBytes } = estimate
          const progress = io.progress(`${name(candidate)}, P = ${p}`, 'tokens')
          const comparison = await compareIds(new Engine(reference.model), new Engine(loaded.model), ids, {
            p,
            signal: io.signal,
            onProgress: (done, total) => progress.update(done, total),
          }).finally(() => progress.end())
          rows.push({ ...candidate, p, weightBytes, cacheBytes, ...comparison })
        }
      } finally {
        await loaded.model.dispose()
        await loaded.close()
      }
    }
  } finally {
    await reference.model.dispose()
    await reference.close()
  }
  return rows
}

/** A GGUF file's integers decoded to floats. A folder is what it is. */
const floatBits = async (model: string | undefined, io: Io): Promise<32 | undefined> =>
  (await isGgufFile(await resolveModel(model, io.env, fetchingOf(io)))) ? 32 : undefined

const name = ({ model, bits, blockSize, kv, engine }: Candidate): string => {
  const weights = bits === undefined ? [model ?? 'as it is'] : [`${bits} bits, blocks of ${blockSize}`]
  return [...weights, ...(kv ? [`kv ${kv}`] : []), ...(engine ? [engine] : [])].join(', ')
}

function table(rows: readonly Row[], width?: number): string {
  const share = (x: number | null) => (x === null ? '-' : `${(100 * x).toFixed(2)} %`)
  return textTable(
    [
      ['weights', 'size', 'P', 'cache', 'perplexity', 'ratio', 'KL mean', '+-', 'KL 99 %', 'agreement', 'rms dp'],
      ...rows.map((row) => [
        name(row),
        bytesText(row.weightBytes),
        String(row.p),
        bytesText(row.cacheBytes),
        row.perplexity?.other.toFixed(4) ?? '-',
        row.perplexity?.ratio.toFixed(4) ?? '-',
        row.kl.mean.toFixed(5),
        row.kl.standardError.toFixed(5),
        row.kl.p99.toFixed(4),
        share(row.topOneAgreement),
        share(row.rmsDeltaP),
      ]),
    ],
    { width },
  )
}
