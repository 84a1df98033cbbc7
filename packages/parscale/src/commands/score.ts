/** `parscale score`: log-probabilities of a text's tokens, and its perplexity. */
import { type Command, Option } from '@commander-js/extra-typings'
import { usageError } from '@parscale/core/internal'
import { writeSafetensors } from '@parscale/core/internal/checkpoint'
import { collectScore, type Score, type ScoredPosition, scorePositions, scoreTexts } from '@parscale/core/internal/evaluation'
import { Engine } from '@parscale/core/internal/generation'
import { type ModelFolder, writeWholeFile } from '@parscale/core/internal/node'
import { createTokenizer, type Tokenizer, tokenizerFiles } from '@parscale/core/internal/tokenizer'
import { loadModel } from '../load/load.ts'
import { type Io, report } from '../terminal/io.ts'
import { counted } from '../terminal/quantity.ts'
import { streamBlocks, streamLegend } from '../terminal/stream-colors.ts'
import { type FlagsOf, loadOptions, longestInTokens, withModel } from './options.ts'
import { readTextFile, readTextLines } from './text-input.ts'

const examples = `
Examples:
  parscale score ./model --text "The quick brown fox"
  parscale score ./model --file book.txt --p 4 --json
  parscale score ./model --ids 1,2,3 --logits logits.safetensors      (one f32 tensor "logits" [T, V])
  parscale score ./model --jsonl texts.jsonl --json                   (many texts, computed together)
  parscale score ./model --text "Which stream speaks?" --streams      (colour: the stream that weighs most)

A text longer than the model's context is read through windows that overlap by half.`

const withOptions = (command: Command) =>
  withModel(
    command
      .argument('[model]', 'folder, .gguf file, ORG/NAME or s3://BUCKET/KEY')
      .addOption(new Option('--text <text>', 'the text to score').conflicts(['file', 'ids', 'jsonl']))
      .addOption(new Option('--file <path>', 'the file to score, UTF-8').conflicts(['text', 'ids', 'jsonl']))
      .addOption(
        new Option('--ids <ids>', 'token ids to score, separated by commas')
          .argParser(parseIds)
          .conflicts(['text', 'file', 'jsonl']),
      )
      .addOption(
        new Option('--jsonl <path>', 'texts to score together: JSON lines, one object a line').conflicts(['logits', 'streams']),
      )
      .addOption(new Option('--field <name>', 'field of --jsonl that holds the text').default('text'))
      .option('--logits <path>', 'write all logits to a safetensors file')
      .option('--streams', "show each stream's weight in each token")
      .option('--allow-special', 'recognise special tokens spelled in the text'),
  ).option('--json', 'print the result as JSON')

type Flags = FlagsOf<typeof withOptions>

export function register(command: Command, io: Io): void {
  withOptions(command)
    .addHelpText('after', examples)
    .action(async (model, flags) => {
      if (flags.jsonl !== undefined) return await scoreLines(model, flags, flags.jsonl, io)
      if (flags.text === undefined && flags.file === undefined && flags.ids === undefined)
        throw usageError('there is nothing to score; give --text, --file, --ids or --jsonl')
      const content = flags.text ?? (flags.file === undefined ? undefined : await readTextFile(flags.file))
      const loaded = await loadModel(model, loadOptions(io, flags, flags.ids?.length ?? longestInTokens(content!)))
      try {
        const tokenizer = await findTokenizer(loaded.backbone, content !== undefined)
        const ids = flags.ids ?? (await tokenizer!.encodeLong(content!, { allowSpecial: flags.allowSpecial, signal: io.signal }))
        const progress = io.progress('scoring', 'tokens')
        const options = {
          p: flags.p,
          signal: io.signal,
          onProgress: (done: number, total: number) => progress.update(done, total),
        }
        const positions = scorePositions(new Engine(loaded.model), ids, options)
        const score = await run(positions, ids, loaded.model.config.vocabSize, flags.logits).finally(() => progress.end())
        const { defaultP, weights } = loaded.model
        show(score, ids, tokenizer, { ...flags, p: flags.p ?? defaultP, precision: weights }, io)
      } finally {
        await loaded.model.dispose()
        await loaded.close()
      }
    })
}

/** Many texts: a line for each as it is done, then all of them together. */
async function scoreLines(model: string | undefined, flags: Flags, path: string, io: Io): Promise<void> {
  const loaded = await loadModel(model, loadOptions(io, flags))
  try {
    const tokenizer = await findTokenizer(loaded.backbone, true)
    const { allowSpecial, field } = flags
    async function* encoded() {
      for await (const text of readTextLines(path, { field, signal: io.signal }))
        yield await tokenizer!.encodeLong(text, { allowSpecial, signal: io.signal })
    }
    const texts: { tokens: number; loss: number | null; perplexity: number | null }[] = []
    const { defaultP, weights: precision } = loaded.model
    const p = flags.p ?? defaultP
    const progress = io.progress('scoring', 'texts')
    for await (const { logProbabilities, loss, perplexity } of scoreTexts(new Engine(loaded.model), encoded(), {
      p,
      signal: io.signal,
    })) {
      texts.push({ tokens: logProbabilities.length, loss, perplexity })
      progress.update(texts.length)
      if (!flags.json && texts.length === 1) io.stdout('   text  tokens    loss  perplexity\n')
      const figures = [loss?.toFixed(4) ?? '-', perplexity?.toFixed(2) ?? '-']
      if (!flags.json)
        io.stdout(
          `${String(texts.length).padStart(7)} ${String(logProbabilities.length).padStart(7)} ${figures[0]!.padStart(7)} ${figures[1]!.padStart(11)}\n`,
        )
    }
    progress.end()
    if (texts.length === 0) throw usageError(`--jsonl ${path}: holds no text under "${field}"`, { flag: 'jsonl' })
    // Of all scored tokens, so that a long text counts for more than a short one.
    const scored = texts.reduce((sum, { tokens }) => sum + tokens - 1, 0)
    const loss = scored === 0 ? null : texts.reduce((sum, { tokens, loss }) => sum + (loss ?? 0) * (tokens - 1), 0) / scored
    const perplexity = loss === null ? null : Math.exp(loss)
    if (flags.json) io.stdout(`${JSON.stringify({ p, precision, texts, loss, perplexity }, null, 2)}\n`)
    else if (loss !== null)
      report(
        io,
        `perplexity ${perplexity!.toFixed(4)} (${loss.toFixed(4)} nats a token over ${counted(scored, 'token')} of ${counted(texts.length, 'text')}, P = ${p}, weights ${precision})\n`,
      )
  } finally {
    await loaded.model.dispose()
    await loaded.close()
  }
}

function parseIds(text: string): number[] {
  const ids = text.split(',').map((part) => Number(part.trim() || 'x'))
  if (ids.some((id) => !Number.isSafeInteger(id) || id < 0))
    throw usageError(`--ids: expected token ids such as 1,2,3, got ${text}`, { flag: 'ids', found: text })
  return ids
}

/** Ids can be scored without a tokenizer; then tokens are shown by number. */
async function findTokenizer(folder: ModelFolder, needed: boolean): Promise<Tokenizer | undefined> {
  if (!needed && (await folder.readText('tokenizer.json')) === undefined) return undefined
  return createTokenizer(await tokenizerFiles(folder), folder.path)
}

async function run(
  positions: AsyncIterable<ScoredPosition>,
  ids: readonly number[],
  vocabSize: number,
  logitsPath?: string,
): Promise<Score> {
  const score = collectScore(ids)
  async function* logits() {
    for await (const position of positions) {
      score.add(position)
      yield new Uint8Array(position.logits.slice().buffer)
    }
  }
  if (logitsPath === undefined) for await (const _ of logits());
  else await writeLogits(logitsPath, [ids.length, vocabSize], logits)
  return score.result()
}

function writeLogits(path: string, shape: readonly number[], chunks: () => AsyncIterable<Uint8Array>): Promise<void> {
  const advice = {
    full: `${shape[0]} x ${shape[1]} logits take ${4 * shape[0]! * shape[1]!} bytes`,
    denied: 'choose another path',
    flag: 'logits',
  }
  return writeWholeFile(path, (sink) => writeSafetensors(sink, [{ name: 'logits', dtype: 'F32', shape, chunks }]), advice)
}

function show(
  score: Score,
  ids: readonly number[],
  tokenizer: Tokenizer | undefined,
  flags: Flags & { p: number; precision: string },
  io: Io,
): void {
  const { logProbabilities, streamWeights, loss, perplexity } = score
  const tokenText = (id: number) => tokenizer?.tokenText(id) ?? `${id} `
  if (flags.json) {
    const tokens = ids.map((id, t) => ({
      id,
      ...(tokenizer && { text: tokenizer.tokenText(id) }),
      logProbability: logProbabilities[t]!,
      ...(flags.streams && { streamWeights: streamWeights[t] }),
    }))
    io.stdout(
      `${JSON.stringify({ p: flags.p, precision: flags.precision, tokens, loss, perplexity, ...(flags.logits && { logits: flags.logits }) }, null, 2)}\n`,
    )
    return
  }
  if (flags.streams) {
    const paint = streamBlocks(flags.p, io.color)
    io.stderr(`${streamLegend(flags.p, io.color)}\n`)
    io.stdout(`${ids.map((id, t) => paint(tokenText(id), streamWeights[t]!)).join('')}\n`)
  } else {
    for (const [t, id] of ids.entries()) {
      const logProbability = logProbabilities[t]
      io.stdout(
        `${logProbability == null ? '        -' : logProbability.toFixed(4).padStart(9)}  ${JSON.stringify(tokenText(id))}\n`,
      )
    }
  }
  if (loss !== null && perplexity !== null) {
    report(
      io,
      `perplexity ${perplexity.toFixed(4)} (${loss.toFixed(4)} nats a token over ${counted(ids.length - 1, 'token')}, P = ${flags.p}, weights ${flags.precision})\n`,
    )
  } else io.stderr('one token alone cannot be scored: nothing comes before it\n')
}
