/** `parscale cost`: memory and latency of a model on a device, and what training it costs. */
import { type Command, Option } from '@commander-js/extra-typings'
import {
  countParameters,
  type Device,
  type DeviceCost,
  deviceCost,
  deviceNamed,
  devices,
  type Phase,
  type ReferenceCost,
  referenceCost,
  referenceFormulas,
  symbolLegend,
  type Term,
  trainingCost,
  type Workload,
} from '@parscale/core/cost'
import { shortNumber } from '@parscale/core/law'
import type { Io } from '../io.ts'
import { onnxRuntime } from '../onnx-runtime.ts'
import { measureDevice } from './measure-device.ts'
import { type NamedShape, resolveShape } from './model-shape.ts'
import { integer, number } from './options.ts'
import { countArgument } from './quantity.ts'
import { bytesText, secondsText, significant, textTable } from './text-table.ts'

const examples = `
MODEL is a size of the paper (0.5B, 0.7B, 1.1B, 1.6B, 2.8B, 4.4B), a published checkpoint's name, a config.json or a checkpoint.
Mode 'device' is a roofline of ours; mode 'reference' is the paper's model with its quirks, for an A100.

Examples:
  parscale cost 1.6B --p 8 --device rtx-4090 --weight-bits 4.5
  parscale cost 1.6B --p 8 --mode reference --explain        the paper's numbers, term by term
  parscale cost ./model --device this-machine                measures bandwidth and FLOP/s first
  parscale cost 1.6B --p 8 --train-tokens 1T,20B --gpus 64   two stages against one
  parscale cost --list-devices`

export function registerCost(program: Command, io: Io): void {
  const size = <Flag extends string>(flag: Flag, what: string) => new Option(`${flag} <n>` as const, what).argParser(integer(1))
  program
    .command('cost')
    .description('memory and latency of a model with P streams on a device')
    .argument('[model]', 'size, checkpoint or config.json')
    .addOption(size('--p', "parallel streams (default: the checkpoint's, or 1)"))
    .addOption(size('--batch', 'requests at a time').default(1))
    .addOption(size('--input', 'prompt tokens').default(128))
    .addOption(size('--output', 'generated tokens').default(128))
    .addOption(
      new Option('--mode <mode>', "our model or the paper's")
        .choices(['device', 'reference'] as const)
        .default('device' as const),
    )
    .option('--device <name>', 'see --list-devices; this-machine measures', 'a100-80gb')
    .addOption(new Option('--weight-bits <bits>', 'mean bits a weight, scales included').argParser(number).default(16))
    .addOption(new Option('--kv-bits <bits>', 'bits of a number in the KV cache').argParser(number).default(16))
    .addOption(size('--hidden', 'hidden size'))
    .addOption(size('--intermediate', 'intermediate size'))
    .addOption(size('--layers', 'layers'))
    .addOption(size('--heads', 'attention heads'))
    .addOption(size('--kv-heads', 'key/value heads'))
    .addOption(size('--head-dim', 'head size'))
    .addOption(size('--vocab', 'vocabulary'))
    .addOption(size('--prefix-tokens', 'prefix tokens of a stream'))
    .option('--untied', 'the output head has its own table')
    .addOption(
      new Option('--train-tokens <D1,D2>', 'training cost of D1 tokens at P = 1, then D2 with P streams').argParser(tokenPair),
    )
    .addOption(new Option('--gpus <n>', 'devices that train').argParser(integer(1)).default(1))
    .addOption(new Option('--utilisation <share>', 'share of peak FLOP/s that training reaches').argParser(number).default(0.4))
    .option('--explain', 'show every term with its formula')
    .option('--list-devices', 'print the known devices with the source of each number')
    .option('--json', 'print JSON')
    .addHelpText('after', examples)
    .action(async (model, flags) => {
      if (flags.listDevices) return listDevices(io, flags.json === true)
      const named = await resolveShape(model, flags, io.env)
      const workload: Workload = {
        P: flags.p ?? named.P ?? 1,
        batch: flags.batch,
        inputTokens: flags.input,
        outputTokens: flags.output,
      }
      const device = flags.device === 'this-machine' ? await measured(io) : deviceNamed(flags.device)
      const parameters = countParameters(named.shape, workload.P)
      const training = flags.trainTokens && trainingReport(named, workload, device, flags.trainTokens, flags)
      const cost =
        flags.mode === 'reference'
          ? { reference: referenceCost(named.shape, workload) }
          : { device: deviceCost(named.shape, workload, device, { weightBits: flags.weightBits, kvBits: flags.kvBits }) }
      if (flags.json) {
        const on = flags.mode === 'reference' ? 'a100-80gb' : device
        io.stdout(
          `${JSON.stringify({ model: named.name, mode: flags.mode, device: on, ...workload, parameters, ...(cost.reference ?? cost.device), training }, null, 2)}\n`,
        )
        return
      }
      io.stdout(`${named.name}, ${shortNumber(parameters.nonEmbedding)} parameters without embeddings, P = ${workload.P}: `)
      io.stdout(`${workload.batch} request(s) of ${workload.inputTokens} + ${workload.outputTokens} tokens\n`)
      io.stdout(
        cost.reference === undefined
          ? deviceText(cost.device!, device, flags.explain === true)
          : referenceText(cost.reference, flags.explain === true),
      )
      if (training !== undefined) io.stdout(training.text)
    })
}

function deviceText(cost: DeviceCost, device: Device, explain: boolean): string {
  const phase = (name: string, { seconds, binds }: Phase) => [
    name,
    secondsText(seconds),
    seconds === 0 ? 'nothing to do' : `${binds} binds`,
  ]
  const lines = [
    `on ${device.title}: ${significant(device.bytesPerSecond / 1e9)} GB/s, ${significant(device.flopsPerSecond / 1e12)} TFLOP/s\n\n`,
    textTable([
      ['', 'cost', ''],
      [
        'memory',
        bytesText(cost.memoryBytes),
        cost.fits ? `fits into ${bytesText(device.memoryBytes)}` : `does NOT fit into ${bytesText(device.memoryBytes)}`,
      ],
      phase('prefill', cost.prefill),
      phase('decode', cost.decode),
      [
        'latency',
        secondsText(cost.latencySeconds),
        cost.secondsPerToken === undefined ? '' : `${secondsText(cost.secondsPerToken)} a token`,
      ],
    ]),
  ]
  if (!explain) return lines.join('')
  const list = (title: string, terms: readonly Term[], show: (value: number) => string) =>
    `\n${textTable([[title, 'formula', 'value'], ...terms.map(({ name, formula, value }) => [`  ${name}`, formula, show(value)])])}`
  const flops = (value: number) => `${significant(value / 1e9)} GFLOP`
  return [
    ...lines,
    list('memory', cost.memory, bytesText),
    list('prefill, FLOPs', cost.prefill.flops, flops),
    list('prefill, bytes', cost.prefill.bytes, bytesText),
    list('decode, FLOPs, all steps', cost.decode.flops, flops),
    list('decode, bytes, all steps', cost.decode.bytes, bytesText),
    `\n${symbolLegend}.\nA phase takes the larger of FLOPs / FLOP/s and bytes / bytes/s. Device: ${device.source}.\n`,
  ].join('')
}

function referenceText(cost: ReferenceCost, explain: boolean): string {
  const total = `the paper's model, A100-80GB\n\nMemory: ${(cost.memoryBytes / 2 ** 30).toFixed(3)}GB; Latency: ${cost.latencySeconds.toFixed(3)}s\n`
  if (!explain) return total
  const formulas: Readonly<Record<string, string>> = referenceFormulas
  const rows = (terms: object, show: (value: number) => string) =>
    Object.entries(terms).map(([name, value]: [string, number]) => [`  ${name}`, formulas[name]!, show(value)])
  const signed = (value: number) => (value < 0 ? `-${secondsText(-value)}` : secondsText(value))
  return [
    total,
    `\n${textTable([['memory', 'formula', 'value'], ...rows(cost.memory, bytesText)])}`,
    `\n${textTable([['latency', 'formula', 'value'], ...rows(cost.latency, signed)])}`,
    `\n${referenceFormulas.legend}\n`,
  ].join('')
}

interface TrainingFlags {
  readonly gpus: number
  readonly utilisation: number
}

function trainingReport(
  named: NamedShape,
  { P }: Workload,
  device: Device,
  [firstStageTokens, secondStageTokens]: readonly [number, number],
  flags: TrainingFlags,
) {
  const run = {
    P,
    firstStageTokens,
    secondStageTokens,
    sequenceLength: 2048,
    deviceCount: flags.gpus,
    utilisation: flags.utilisation,
  }
  const costs = trainingCost(named.shape, run, device)
  const row = (name: string, { flops, hours }: { flops: number; hours: number }) => [name, significant(flops), significant(hours)]
  const text = [
    `\ntraining on ${flags.gpus} x ${device.title} at ${100 * flags.utilisation} % of peak, sequences of 2048\n\n`,
    textTable([
      ['', 'FLOPs', 'hours'],
      row(`${shortNumber(firstStageTokens)} tokens at P = 1, then ${shortNumber(secondStageTokens)} at P = ${P}`, costs.twoStage),
      row(`all at P = ${P}`, costs.singleStage),
    ]),
    `\none stage costs ${significant(costs.ratio, 3)} times as much\n`,
  ].join('')
  return { ...run, ...costs, text }
}

async function measured(io: Io): Promise<Device> {
  io.stderr('measuring bandwidth and FLOP/s of this machine\n')
  return measureDevice(onnxRuntime())
}

function listDevices(io: Io, json: boolean): void {
  if (json) {
    io.stdout(`${JSON.stringify(devices, null, 2)}\n`)
    return
  }
  const rows = devices.map(({ name, kind, memoryBytes, bytesPerSecond, flopsPerSecond, source }) => [
    name,
    kind,
    String(memoryBytes / 2 ** 30),
    significant(bytesPerSecond / 1e9),
    significant(flopsPerSecond / 1e12),
    source,
  ])
  io.stdout(textTable([['name', 'kind', 'GiB', 'GB/s', 'TFLOP/s', 'source'], ...rows]))
}

function tokenPair(text: string): [number, number] {
  const [first = '', second = '', ...rest] = text.split(',')
  return rest.length > 0 || second === '' ? [countArgument(text), 0] : [countArgument(first), countArgument(second)]
}
