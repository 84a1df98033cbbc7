/** `parscale quantize`: writes a model's folder with its matrices in 8 or 4 bits. */
import { type Command, InvalidArgumentError, Option } from '@commander-js/extra-typings'
import type { QuantisationSummary } from '@parscale/core/internal/node'
import { quantiseModel } from '@parscale/core/internal/node/models'
import { resolveModel } from '../load/find-model.ts'
import { fetchingOf } from '../storage/fetching.ts'
import { withTarget } from '../storage/store-folder.ts'
import type { Io } from '../terminal/io.ts'
import { bytesText, textTable } from '../terminal/text-table.ts'
import { integer, oneOf } from './options.ts'

const examples = `
Examples:
  parscale quantize ./model --bits 8 --out ./model-int8
  parscale quantize SmolLM2-135M-Instruct.Q4_1.gguf --bits 4 --out ./smollm2-int4     (keeps the file's own integers)
  parscale quantize ./model --bits 4 --block-size 32 --out ./model-int4 --json

Embeddings, all linear layers and aggregators are quantised; norms, biases and prefixes stay as they are. The embedding, the
output matrix and aggregators take 8 bits, with --bits 4 too. Blocks of a GGUF file
are kept to the bit where they have no more bits than are asked for: --bits 8 keeps all of them.
The target appears whole or not at all. parscale compare tells what is lost.`

const blockSizeOption = new Option(
  '--block-size <n>',
  'weights that share a scale, a power of two (default: 128 at 8 bits, 32 at 4)',
).argParser(powerOfTwo)

export function register(command: Command, io: Io): void {
  command
    .argument('<model>', 'folder, .gguf file, ORG/NAME or s3://BUCKET/KEY')
    .addOption(new Option('--bits <bits>', 'weights in 8 or 4 bits').argParser(oneOf([8, 4])).makeOptionMandatory())
    .addOption(blockSizeOption)
    .requiredOption('--out <folder>', 'folder to make, or s3://BUCKET/KEY; must not exist or be empty')
    .option('--json', 'print the result as JSON')
    .addHelpText('after', examples)
    .action(async (model, { bits, blockSize, out, json }) => {
      const progress = io.progress(out, 'B')
      const source = await resolveModel(model, io.env, fetchingOf(io))
      const started = performance.now()
      const summary = await withTarget(io, out, '--out', (folder) =>
        quantiseModel(source, folder, {
          bits,
          blockSize,
          signal: io.signal,
          onProgress: ({ doneBytes, totalBytes }) => progress.update(doneBytes, totalBytes),
        }).finally(() => progress.end()),
      )
      const seconds = (performance.now() - started) / 1000
      io.stdout(json ? `${JSON.stringify({ source, target: out, seconds, ...summary }, null, 2)}\n` : `${out}\n`)
      if (!json) io.stderr(summaryText(summary, seconds))
    })
}

/** A block size as an option's value. */
export function powerOfTwo(text: string): number {
  const size = integer(16)(text)
  if (!Number.isInteger(Math.log2(size))) throw new InvalidArgumentError('it must be a power of two.')
  return size
}

function summaryText({ matrices, other, bytesBefore, bytesAfter }: QuantisationSummary, seconds: number): string {
  const parameters = matrices.reduce((sum, kind) => sum + kind.parameters, 0)
  const table = textTable([
    ['tensors', 'from', 'to', 'bits a weight', 'size'],
    ...matrices.map(({ tensors, from, bits, blockSize, zeroPoints, bytes, parameters }) => [
      String(tensors),
      from,
      `${bits} bits, blocks of ${blockSize}${zeroPoints ? ', zero points' : ''}`,
      ((8 * bytes) / parameters).toFixed(2),
      bytesText(bytes),
    ]),
    [String(other.tensors), 'others', 'as they are', '-', bytesText(other.bytes)],
  ])
  const rate = (parameters / seconds / 1e6).toFixed(0)
  return `${table}${bytesText(bytesBefore)} to ${bytesText(bytesAfter)} in ${seconds.toFixed(1)} s (${rate} million weights a second)\n`
}
