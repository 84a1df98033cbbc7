/**
 * Prefixes that begin as text (prefix tuning's initialisation by real activations, X. L. Li and P. Liang, arXiv 2101.00190,
 * section 7.4): the keys and values that the backbone itself computes for some tokens of the training data, another piece of
 * it for each stream. A stream then begins as the plain model that has read its piece before, and streams differ from the
 * first step on, where random prefixes leave them almost alike.
 *
 * A prefix lies in front of position 0, so its n tokens are rotated for the positions -n to -1.
 *
 * Axes: P streams, n prefix tokens, K key/value heads, D head size.
 */
import { Tensor } from 'onnxruntime-common'
import { usageError } from '../../errors.ts'
import { batchFeeds } from '../../generation/index.ts'
import { GraphBuilder, type Value } from '../../graph/index.ts'
import {
  decoder,
  externalWeights,
  type FindWeight,
  type ModelConfig,
  maskName,
  prefixName,
  RopeTable,
  type Weights,
  windowsOf,
} from '../../model/index.ts'
import { createRandom } from '../../random.ts'
import type { Runtime } from '../../runtime/index.ts'
import type { TokenFile } from '../data/index.ts'

/** The backbone: float32 values of what is trained, by name with their shapes; everything else is found. */
export interface TextBackbone {
  readonly config: ModelConfig
  readonly trained: ReadonlyMap<string, Float32Array>
  readonly frozen: FindWeight
}

/**
 * A piece of `tokens` tokens for each of P streams: the data are cut into P equal stretches, and each has a piece at a
 * random place, so the pieces come from different documents wherever there are enough.
 *
 * @throws usage error for data of fewer than P times `tokens` tokens, or that repeat themselves, as equal streams would stay equal
 */
export async function textPieces(file: TokenFile, streams: number, tokens: number, seed: number): Promise<Uint32Array[]> {
  const refuse = (what: string) =>
    usageError(
      `${file.name}: ${file.tokens} tokens ${what} to begin ${streams} prefixes of ${tokens} as text; use more data, shorter prefixes, or start at random`,
      { flag: 'init', expected: streams * tokens, found: file.tokens },
    )
  const stretch = Math.floor(file.tokens / streams)
  if (stretch < tokens) throw refuse('are too few')
  const random = createRandom(seed)
  const pieces = new Map<string, Uint32Array>()
  for (let draws = 0; pieces.size < streams; draws++) {
    if (draws === 100 * streams) throw refuse('are too much alike')
    const { ids } = await file.read(pieces.size * stretch + random.below(stretch - tokens + 1), tokens)
    if (!pieces.has(ids.join())) pieces.set(ids.join(), ids)
  }
  return [...pieces.values()]
}

/** Keys and values [P, K, n, D] of each layer, by the names of the prefixes. @param pieces P of n tokens each */
export async function textPrefixes(
  runtime: Runtime,
  backbone: TextBackbone,
  pieces: readonly Uint32Array[],
): Promise<Map<string, Float32Array>> {
  const { config, trained } = backbone
  const [P, n] = [pieces.length, pieces[0]!.length]
  const { graph, used } = textGraph(backbone, P, n)
  const session = await runtime.createSession(graph)
  try {
    const parameters = used.map(({ name, shape }) => [name, new Tensor('float32', trained.get(name)!, shape as number[])])
    const out = await session.run({ ...Object.fromEntries(parameters), ...textFeeds(config, pieces) })
    return new Map(Object.entries(out).map(([name, { data }]) => [name, (data as Float32Array).slice()]))
  } finally {
    await session.dispose()
  }
}

/** Outputs the prefixes. `used`: the trained parameters that are inputs. */
function textGraph({ config, trained, frozen }: TextBackbone, P: number, n: number) {
  const g = new GraphBuilder('text-prefixes')
  const table = (name: string) => g.input(name, 'float32', [P, n, config.headDim / 2])
  const masks = new Map(windowsOf(config).map((window) => [window, g.input(maskName(window), 'float32', [P, 1, n, n])]))
  const used: Value[] = []
  const stored = externalWeights(g, frozen)
  const weights: Weights = (name, shape, as) => {
    if (!trained.has(name)) return stored(name, shape, as)
    const input = g.input(name, 'float32', shape)
    used.push(input)
    return input
  }
  const { present } = decoder(g, config, weights, {
    inputIds: g.input('input_ids', 'int64', [P, n]),
    cos: table('cos'),
    sin: table('sin'),
    mask: (window) => masks.get(window)!,
    attended: (_, own) => [own],
  })
  for (const [layer, { key, value }] of present.entries()) {
    g.output(key, prefixName(layer, 'k'))
    g.output(value, prefixName(layer, 'v'))
  }
  return { graph: g.build(), used }
}

function textFeeds(config: ModelConfig, pieces: readonly Uint32Array[]): Record<string, Tensor> {
  const n = pieces[0]!.length
  const rope = new RopeTable(config)
  const rows = pieces.map((ids) => ({ ids: [...ids], prefix: 0, length: 0, firstPosition: 0 }))
  const feeds = batchFeeds(config, rope, rows, 0)
  const cos = feeds.cos!.data as Float32Array
  const sin = feeds.sin!.data as Float32Array
  // Token j stands at j - n: as at n - j, turned the other way.
  const half = config.headDim / 2
  for (let i = 0; i < pieces.length * n; i++) rope.fill(cos, sin, i * half, n - (i % n), 1)
  for (let i = 0; i < sin.length; i++) sin[i] = -sin[i]!
  return feeds
}
