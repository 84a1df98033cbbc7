/** `parscale convert`: writes a Hugging Face folder from another one or from a GGUF file. */
import type { Command } from '@commander-js/extra-typings'
import { InvalidArgumentError, Option } from '@commander-js/extra-typings'
import { usageError } from '@parscale/core/internal'
import { convertModel } from '@parscale/core/internal/node/models'
import { resolveModel } from '../load/find-model.ts'
import { fetchingOf } from '../storage/fetching.ts'
import { withTarget } from '../storage/store-folder.ts'
import type { Io } from '../terminal/io.ts'
import { integer } from './options.ts'

const examples = `
Examples:
  parscale convert SmolLM2-135M-Instruct.Q4_1.gguf ./smollm2
  parscale convert ./model ./model-bf16 --dtype bf16 --max-shard-size 2GB
  parscale convert ./model ./plain --fold 3                     stream 3 alone, for transformers, llama.cpp and others

Quantised GGUF blocks become F32, exactly; everything else stays as it is stored unless --dtype says otherwise.
Stream sets in streams/ go along. --fold writes what one stream computes alone: a plain model, exact to rounding in F32. A prefix
cannot be folded; of a model with one stream (P = 1) it is the whole model.
The target appears whole or not at all.`

const dtypes = { keep: 'keep', f32: 'F32', f16: 'F16', bf16: 'BF16' } as const

export function register(command: Command, io: Io): void {
  command
    .argument('<source>', 'folder, .gguf file, ORG/NAME or s3://BUCKET/KEY')
    .argument('<target>', 'folder to make, or s3://BUCKET/KEY; must not exist or be empty')
    .addOption(
      new Option('--dtype <type>', 'element type of all weights')
        .choices(Object.keys(dtypes) as (keyof typeof dtypes)[])
        .default('keep' as const),
    )
    .addOption(
      new Option(
        '--fold [stream]',
        'write one stream as a plain model: its scales, LoRA, biases and gains become part of the weights',
      ).argParser(integer(1)),
    )
    .addOption(
      new Option('--p <n>', 'P of the stream set that --fold takes the stream from (default: the only one)').argParser(
        integer(1),
      ),
    )
    .addOption(new Option('--max-shard-size <size>', 'largest file, such as 2GB').argParser(parseSize).default(5e9, '5GB'))
    .option('--json', 'print the result as JSON')
    .addHelpText('after', examples)
    .action(async (source, target, { dtype, maxShardSize, fold, p, json }) => {
      if (p !== undefined && fold === undefined)
        throw usageError('--p chooses what --fold folds; give --fold too', { flag: 'p', found: p })
      const progress = io.progress(target, 'B')
      let writtenBytes = 0
      try {
        const path = await resolveModel(source, io.env, fetchingOf(io))
        await withTarget(io, target, 'target', (folder) =>
          convertModel(path, folder, {
            dtype: dtypes[dtype],
            maxShardBytes: maxShardSize,
            ...(fold !== undefined && { fold: { stream: fold === true ? undefined : fold, p } }),
            signal: io.signal,
            onProgress: ({ doneBytes, totalBytes }) => {
              writtenBytes = doneBytes
              progress.update(doneBytes, totalBytes)
            },
          }),
        )
      } finally {
        progress.end()
      }
      io.stdout(json ? `${JSON.stringify({ source, target, dtype, writtenBytes }, null, 2)}\n` : `${target}\n`)
    })
}

function parseSize(text: string): number {
  const [, amount, unit] = /^(\d+(?:\.\d+)?)\s*([KMGT]?)B?$/i.exec(text) ?? []
  const bytes =
    Number(amount) * { '': 1, K: 1e3, M: 1e6, G: 1e9, T: 1e12 }[(unit ?? '').toUpperCase() as '' | 'K' | 'M' | 'G' | 'T']
  if (amount === undefined || !(bytes > 0)) throw new InvalidArgumentError('it must be a size such as 500MB or 2GB.')
  return bytes
}
