/**
 * Writes the tokens that the model that ships is known to generate, which the browser's self-test holds a backend against:
 *
 *     npx tsx --conditions=source scripts/known-tokens.ts      after the model that ships has changed
 *
 * Of several prompts it takes the one at which no second choice comes near the first: kernels that round otherwise agree on it.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import { loadTextModel } from '../packages/parscale/src/load/load.ts'
import { shippedModel } from '../packages/parscale/src/package-files.ts'

const path = fileURLToPath(new URL('../packages/core/src/web/engine/known-tokens.ts', import.meta.url))
const prompts = [
  ...['In the year of our Lord', 'My fellow citizens', 'The people of the United States', 'The whale', 'It is the duty of'],
  ...['Upon the deck', 'We have the honor to', 'The captain of the ship', 'There was a', 'By the treaty with'],
]
const tokens = 8

interface Known {
  readonly promptIds: readonly number[]
  readonly ids: Readonly<Record<number, readonly number[]>>
  /** The least distance of a second choice from the first, in log-probability. */
  readonly margin: number
}

/** The digest by which stream sets name their backbone; undefined where the model has none. */
function digestOf(model: string): string | undefined {
  const configs = readdirSync(model, { recursive: true, encoding: 'utf8' }).filter((file) => /(^|[\\/])config\.json$/.test(file))
  return configs
    .map((file) => JSON.parse(readFileSync(join(model, file), 'utf8')).parscale_backbone_sha256 as string | undefined)
    .find((digest) => digest !== undefined)
}

async function knownTokens(): Promise<Known[]> {
  const text = await loadTextModel(undefined, { threads: 1, engine: 'onnx' })
  const all: Known[] = []
  for (const prompt of prompts) {
    const ids: Record<number, number[]> = {}
    let margin = Number.POSITIVE_INFINITY
    for (const p of new Set([1, text.model.defaultP])) {
      const written = (await text.generate(prompt, { p, maxTokens: tokens, temperature: 0, topLogprobs: 2 })).tokens
      for (const { topLogprobs } of written)
        margin = Math.min(margin, topLogprobs![0]!.logProbability - topLogprobs![1]!.logProbability)
      ids[p] = written.map(({ id }) => id)
    }
    if (Object.values(ids).every((list) => list.length === tokens))
      all.push({ promptIds: await text.tokenizer.encodeLong(prompt), ids, margin })
  }
  await text.dispose()
  // One that streams continue otherwise tells more.
  const differs = ({ ids }: Known) => Number(new Set(Object.values(ids).map(String)).size > 1)
  return all.sort((a, b) => differs(b) - differs(a) || b.margin - a.margin)
}

const page = (digest: string | undefined, known: Known | undefined) => `/**
 * Tokens that models are known to generate, by the digest of their backbone: greedily, in float32, for each P.${known ? `\n * No second choice is nearer than ${known.margin.toFixed(3)} in log-probability.` : ''}
 * Written by scripts/known-tokens.ts from the model that ships; test/web.test.ts holds them against Node.
 */
export const knownTokens: Readonly<
  Record<string, { readonly promptIds: readonly number[]; readonly ids: Readonly<Record<number, readonly number[]>> }>
> = {
${
  digest && known
    ? `  // packages/parscale/models/small
  ${/^\d/.test(digest) ? `'${digest}'` : digest}: {
    promptIds: [${known.promptIds.join(', ')}],
    ids: {
${Object.entries(known.ids)
  .map(([p, ids]) => `      ${p}: [${ids.join(', ')}],`)
  .join('\n')}
    },
  },
`
    : ''
}}
`

const digest = digestOf(shippedModel)
const [best] = await knownTokens()
if (!digest) process.stderr.write('the model that ships names no backbone by a digest: the self-test knows no tokens of it\n')
writeFileSync(path, page(digest, best))
process.stdout.write(`${path}: ${best ? `margin ${best.margin.toFixed(3)}` : 'no tokens'}\n`)
