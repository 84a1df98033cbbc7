/** `parscale inspect`: a model's shape, streams, parameters and memory, read from its headers. */
import type { Command } from '@commander-js/extra-typings'
import { Option } from '@commander-js/extra-typings'
import { usageError } from '@parscale/core/internal'
import { isTied, quantisedBytes, zeroPointsName } from '@parscale/core/internal/checkpoint'
import { weightsText } from '@parscale/core/internal/generation'
import {
  backboneParameters,
  elementCount,
  hasStreams,
  type ParscaleConfig,
  type Part,
  streamParameters,
} from '@parscale/core/internal/model'
import type { ChosenEngine } from '../load/decode-engine.ts'
import { type ExaminedModel, examineModel, failWith, problemsAsJson, problemsText } from '../load/examine.ts'
import { engineOf } from '../load/load.ts'
import { availableMemoryBytes, memoryOf } from '../load/memory.ts'
import type { Outline } from '../load/outline.ts'
import type { Io } from '../terminal/io.ts'
import { wrapLines } from '../terminal/wrap.ts'
import { bitsOption, engineOption, integer, loadOptions, streamSetOption } from './options.ts'

const examples = `
Examples:
  parscale inspect ./model
  parscale inspect ParScale/ParScale-1.8B-P8 --p 8 --context 4096 --json

The engine is what runs on the CPU here, and memory is estimated for it, before anything is loaded. With --bits, as it would be in so many bits;
nothing is quantised for that. A damaged model is described as far as it can be read: "problems" says what is wrong, as loading would,
and the exit code is 3.`

export function register(command: Command, io: Io): void {
  command
    .argument('[model]', 'folder, .gguf file, ORG/NAME or s3://BUCKET/KEY')
    .addOption(new Option('--p <streams>', "streams to plan for (default: the model's largest)").argParser(integer(1)))
    .addOption(new Option('--context <tokens>', 'tokens to plan for (default: 2048, or the whole context)').argParser(integer(1)))
    .addOption(streamSetOption)
    .addOption(bitsOption())
    .addOption(engineOption)
    .option('--json', 'print everything as JSON')
    .addHelpText('after', examples)
    .action(async (model, flags) => {
      const examined = await examineModel(model, loadOptions(io, flags as Parameters<typeof loadOptions>[1]))
      const report = describe(examined, await engineOf(examined.outline, flags), flags.p, flags.context)
      io.stdout(
        flags.json
          ? `${JSON.stringify(report, null, 2)}\n`
          : wrapLines(`${text(report)}${problemsText(examined.problems)}`, io.columns),
      )
      failWith(examined.problems)
    })
}

function describe({ outline: open, problems }: ExaminedModel, chosen: ChosenEngine, p?: number, contextTokens?: number) {
  const { config, tensors, path } = open.backbone
  const tied = isTied(open.backbone)
  if (contextTokens !== undefined && contextTokens > config.maxPositionEmbeddings) {
    throw usageError(`--context ${contextTokens}: the model's context is ${config.maxPositionEmbeddings} tokens`, {
      flag: 'context',
    })
  }
  // What config.json says of sizes is not believed of a model that would not be loaded.
  const memory = problems.length === 0 && memoryOf(open, chosen.decoders, { p, contextTokens })
  const availableBytes = availableMemoryBytes()
  const sets = [open.backbone, ...open.streamSets].filter((set) => hasStreams(set.config))
  const parts: Partial<Record<Part, number>> = {}
  for (const { part, shape } of [...backboneParameters(config, tied), ...sets.flatMap((set) => streamParameters(set.config))]) {
    parts[part] = (parts[part] ?? 0) + elementCount(shape)
  }
  const quantised = quantisedKinds(open.backbone, tied)
  const dtypes: Record<string, number> = {}
  for (const { dtype } of [...tensors.values(), ...(open.backbone.otherTensors?.values() ?? [])])
    dtypes[dtype] = (dtypes[dtype] ?? 0) + 1
  const total = Object.values(parts).reduce((sum, n) => sum + n, 0)
  return {
    path,
    family: config.modelType,
    shapes: {
      hiddenSize: config.hiddenSize,
      intermediateSize: config.intermediateSize,
      numHiddenLayers: config.numHiddenLayers,
      numAttentionHeads: config.numAttentionHeads,
      numKeyValueHeads: config.numKeyValueHeads,
      headDim: config.headDim,
      vocabSize: config.vocabSize,
      maxPositionEmbeddings: config.maxPositionEmbeddings,
      slidingWindows: [...new Set(config.slidingWindows)],
    },
    rope: { theta: config.ropeTheta, scaling: config.ropeScaling },
    tiedEmbeddings: tied,
    availableP: [...new Set([1, ...sets.map((set) => set.config.parscale.n)])].sort((a, b) => a - b),
    streamSets: sets.map(({ path, config: { parscale } }) => ({ path, ...parscale })),
    dtypes: open.backbone.storedTypes ?? dtypes,
    weights: tensors.size === 0 ? null : weightsText(open.backbone),
    quantised,
    engine: { name: chosen.engine, why: chosen.why },
    parameters: { total, nonEmbedding: total - (parts.embedding ?? 0) - (parts.output ?? 0), byPart: parts },
    memory: memory
      ? {
          p: memory.p,
          contextTokens: memory.contextTokens,
          ...memory.estimate,
          availableBytes,
          fits: memory.estimate.totalBytes <= availableBytes,
        }
      : null,
    problems: problemsAsJson(problems),
  }
}

/** Quantised matrices, those alike together. */
function quantisedKinds({ config, tensors, otherTensors = new Map() }: Outline, tied: boolean) {
  const all = new Map([...tensors, ...otherTensors])
  const bytes = quantisedBytes(all)
  const kinds = new Map<string, { bits: number; blockSize: number; zeroPoints: boolean; matrices: number; bytes: number }>()
  for (const { name, shape } of backboneParameters(config, tied)) {
    if (!bytes.has(name)) continue
    const [, blocks, packed] = all.get(name)!.shape as [number, number, number]
    const [blockSize, zeroPoints] = [shape[1]! / blocks, all.has(zeroPointsName(name))]
    const bits = (packed * 8) / blockSize
    const key = [bits, blockSize, zeroPoints].join()
    const before = kinds.get(key) ?? { matrices: 0, bytes: 0 }
    kinds.set(key, { bits, blockSize, zeroPoints, matrices: before.matrices + 1, bytes: before.bytes + bytes.get(name)! })
  }
  return [...kinds.values()]
}

function text(report: ReturnType<typeof describe>): string {
  const { shapes: s, parameters, memory, streamSets } = report
  const line = (label: string, value: unknown) => `${label.padEnd(14)}${value}\n`
  const millions = (n: number) => `${(n / 1e6).toLocaleString('en', { maximumFractionDigits: 2 })}M`
  const size = (bytes: number) => (bytes >= 1e9 ? `${(bytes / 1e9).toFixed(2)} GB` : `${(bytes / 1e6).toFixed(1)} MB`)
  const window = s.slidingWindows.filter((w) => w !== null)
  return [
    line('model', report.path),
    line('family', report.family),
    line('layers', `${s.numHiddenLayers}, hidden ${s.hiddenSize}, intermediate ${s.intermediateSize}`),
    line(
      'attention',
      `${s.numAttentionHeads} heads, ${s.numKeyValueHeads} key/value heads of ${s.headDim}${window.length > 0 ? `, sliding window ${window}` : ''}`,
    ),
    line('vocabulary', `${s.vocabSize}, embeddings ${report.tiedEmbeddings ? 'tied' : 'untied'}`),
    line('context', `${s.maxPositionEmbeddings} tokens, rope theta ${report.rope.theta}, scaling ${report.rope.scaling.type}`),
    line('streams', streamSets.length === 0 ? 'none: a plain model (P = 1)' : `P = ${report.availableP.join(', ')}`),
    ...streamSets.map((set) => line('', `P = ${set.n}: ${streamText(set)}`)),
    line(
      'stored as',
      Object.entries(report.dtypes)
        .map(([dtype, n]) => `${dtype} (${n} tensors)`)
        .join(', ') || 'not known: no header of weights can be read',
    ),
    ...report.quantised.map(({ bits, blockSize, zeroPoints, matrices, bytes }, i) =>
      line(
        i === 0 ? 'quantised' : '',
        `${matrices} matrices to ${bits} bits in blocks of ${blockSize}${zeroPoints ? ' with zero points' : ''}, ${size(bytes)}`,
      ),
    ),
    ...(report.weights === null
      ? []
      : [
          line(
            'runs as',
            `${report.weights}${report.quantised.length > 0 && /\.gguf$/i.test(report.path) ? '; --bits 32: as floats' : ''}`,
          ),
        ]),
    line('parameters', `${millions(parameters.total)}, ${millions(parameters.nonEmbedding)} without embeddings`),
    ...Object.entries(parameters.byPart).map(([part, n]) => line('', `${part.padEnd(12)} ${millions(n).padStart(10)}`)),
    line('engine', engineText(report.engine)),
    ...(memory ? memoryLines(memory, line, size) : []),
  ].join('')
}

function memoryLines(
  memory: NonNullable<ReturnType<typeof describe>['memory']>,
  line: (label: string, value: unknown) => string,
  size: (bytes: number) => string,
): string[] {
  return [
    line('memory', `${size(memory.totalBytes)} at P = ${memory.p} and ${memory.contextTokens} tokens`),
    ...(['weightBytes', 'streamBytes', 'cacheBytes', 'activationBytes', 'runtimeBytes'] as const).map((key) =>
      line('', `${key.replace('Bytes', '').padEnd(12)} ${size(memory[key]).padStart(10)}`),
    ),
    line(
      '',
      memory.fits
        ? `fits: ${size(memory.availableBytes)} are free`
        : `does NOT fit: ${size(memory.availableBytes)} are free; loading would be refused`,
    ),
  ]
}

const engineText = ({ name, why }: { name: ChosenEngine['engine']; why: string }): string =>
  name === 'native' ? `native (${why})` : `ONNX Runtime: ${why}`

/** What tells the streams apart, and how they become one. */
function streamText({ n, input, nTokens, gate, loraRank, ownWindow, aggregation, merge, attnSmooth }: ParscaleConfig): string {
  const inputs = {
    prefix: `${nTokens}${gate ? ' gated' : ''} prefix tokens`,
    lora: `lora of rank ${loraRank}`,
    bitfit: 'bitfit',
    scales: 'rank-one scales',
    norms: 'norm gains',
    embedding: 'embedding scales and offsets',
  }
  const smoothing = aggregation === 'average' ? '' : `, smoothing ${attnSmooth}`
  // The paper's own aggregation goes without saying.
  const how = aggregation === 'dynamic' || n === 1 ? '' : `, ${aggregation} aggregation`
  const shared = ownWindow === null ? '' : `, keys and values shared but for the last ${ownWindow} tokens`
  return `${input.map((kind) => inputs[kind]).join(', ')}${shared}${how}${smoothing}${merge === 'hidden' ? '' : `, ${merge} mixed`}`
}
