/** `parscale cost`: memory and latency of a model on a device, and what training it costs. */
import { type Command, Option } from '@commander-js/extra-typings'
import { countParameters, deviceCost, devices, referenceCost, trainingCost, type Workload } from '@parscale/core/internal/cost'
import { shortNumber } from '@parscale/core/internal/law'
import { chooseDevice } from '../bench/measure-device.ts'
import { resolveShape } from '../bench/model-shape.ts'
import { failWith, problemsAsJson, problemsText } from '../load/examine.ts'
import { type Io, report } from '../terminal/io.ts'
import { countArgument } from '../terminal/quantity.ts'
import { wrapLines } from '../terminal/wrap.ts'
import { devicesText, deviceText, referenceText, trainingText } from './cost-report.ts'
import { refuseGiven } from './law-options.ts'
import { integer, number } from './options.ts'

const examples = `
MODEL is a size of the paper (0.5B, 0.7B, 1.1B, 1.6B, 2.8B, 4.4B), a published checkpoint's name, a config.json or a checkpoint.
Of a damaged checkpoint the cost is that of its config.json; "problems" says what is wrong, and the exit code is 3.
Mode 'device' is a roofline of ours; mode 'reference' is the paper's model with its quirks, for an A100.

Examples:
  parscale cost 1.6B --p 8 --device rtx-4090 --weight-bits 4.5
  parscale cost 1.6B --p 8 --mode reference --explain        the paper's numbers, term by term
  parscale cost ./model --device this-machine                measures bandwidth and FLOP/s first
  parscale cost 1.6B --p 8 --train-tokens 1T,20B --gpus 64   two stages against one
  parscale cost --list-devices`

/** The paper's. */
const trainingSequenceLength = 2048

export function register(command: Command, io: Io): void {
  const size = <Flag extends string>(flag: Flag, what: string) => new Option(`${flag} <n>` as const, what).argParser(integer(1))
  command
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
    .action(async (model, flags, command) => {
      if (flags.listDevices) return io.stdout(flags.json ? `${JSON.stringify(devices, null, 2)}\n` : devicesText(io.columns))
      if (flags.mode === 'reference') {
        refuseGiven(command, ['device', 'weightBits', 'kvBits'], 'in mode reference, which is an A100-80GB at 16 bits')
      }
      if (flags.trainTokens === undefined) refuseGiven(command, ['gpus', 'utilisation'], 'without --train-tokens')
      const named = await resolveShape(model, flags, io.env)
      const { problems = [] } = named
      const workload: Workload = {
        P: flags.p ?? named.P ?? 1,
        batch: flags.batch,
        inputTokens: flags.input,
        outputTokens: flags.output,
      }
      const device = await chooseDevice(flags.device, io)
      const parameters = countParameters(named.shape, workload.P)
      const run = flags.trainTokens && {
        P: workload.P,
        firstStageTokens: flags.trainTokens[0],
        secondStageTokens: flags.trainTokens[1],
        sequenceLength: trainingSequenceLength,
        deviceCount: flags.gpus,
        utilisation: flags.utilisation,
      }
      const training = run && trainingCost(named.shape, run, device)
      const cost =
        flags.mode === 'reference'
          ? { reference: referenceCost(named.shape, workload) }
          : { device: deviceCost(named.shape, workload, device, { weightBits: flags.weightBits, kvBits: flags.kvBits }) }
      if (flags.json) {
        const found = { ...(cost.reference ?? cost.device), training: run && { ...run, ...training } }
        const about = { model: named.name, mode: flags.mode, device, ...workload, parameters }
        io.stdout(`${JSON.stringify({ ...about, ...found, problems: problemsAsJson(problems) }, null, 2)}\n`)
        return failWith(problems)
      }
      report(
        io,
        `${named.name}, ${shortNumber(parameters.nonEmbedding)} parameters without embeddings, P = ${workload.P}: ${workload.batch === 1 ? '1 request' : `${workload.batch} requests`} of ${workload.inputTokens} + ${workload.outputTokens} tokens\n`,
      )
      report(
        io,
        cost.reference === undefined
          ? deviceText(cost.device!, device, flags.explain === true, io.columns)
          : referenceText(cost.reference, flags.explain === true, io.columns),
      )
      if (run !== undefined && training !== undefined)
        report(io, trainingText(run, training, device, flags.explain === true, io.columns))
      if (problems.length > 0) report(io, `\n${wrapLines(problemsText(problems), io.columns)}`)
      failWith(problems)
    })
}

function tokenPair(text: string): [number, number] {
  const [first = '', second = '', ...rest] = text.split(',')
  return rest.length > 0 || second === '' ? [countArgument(text), 0] : [countArgument(first), countArgument(second)]
}
