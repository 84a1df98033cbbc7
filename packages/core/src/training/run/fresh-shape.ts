/** The shape of a fresh model: what is given, and the rest in proportion to it. */
import { usageError } from '../../errors.ts'
import type { RunConfig } from './run-config.ts'

type Shape = NonNullable<RunConfig['shape']>

/** What the rest of a shape follows from. */
export interface ShapeOptions {
  readonly hiddenSize?: number | undefined
  readonly numAttentionHeads?: number | undefined
  readonly headDim?: number | undefined
}

const usualHeadDim = 32

/**
 * Without options about 2.8 million parameters with the default vocabulary: minutes on a laptop.
 *
 * @throws usage error for a hidden size that no heads of an even size fill
 */
export function freshShape({ hiddenSize = 192, numAttentionHeads, headDim }: ShapeOptions): Shape {
  const size = headDim ?? headDimOf(hiddenSize, numAttentionHeads)
  const heads = numAttentionHeads ?? Math.max(1, Math.floor(hiddenSize / size))
  return {
    hiddenSize,
    // 8/3, as the paper's models and LLaMA have it.
    intermediateSize: Math.max(8, Math.round(hiddenSize / 3) * 8),
    numHiddenLayers: 6,
    numAttentionHeads: heads,
    // A third of them, or the next smaller number that divides them.
    numKeyValueHeads: divisors(heads).findLast((each) => each * 3 <= heads) ?? 1,
    headDim: size,
    maxPositionEmbeddings: 1024,
    ropeTheta: 10_000,
    tieWordEmbeddings: true,
    // 0.02, the usual value, keeps what a matrix gives as large as what it reads only where it is about 800 wide. A model of 35
    // thousand parameters ended 0.02 nats a byte lower for it, and its seeds were closer (docs/experiments.md).
    initializerRange: Number(Math.max(0.02, 1 / Math.sqrt(3 * hiddenSize)).toPrecision(3)),
  }
}

function headDimOf(hiddenSize: number, heads: number | undefined): number {
  if (heads !== undefined) return hiddenSize % (2 * heads) === 0 ? hiddenSize / heads : usualHeadDim
  const [nearest] = divisors(hiddenSize)
    .filter((size) => size % 2 === 0)
    .sort((a, b) => distance(a) - distance(b))
  if (nearest === undefined)
    throw usageError(
      `shape.hiddenSize: no heads of an even size fill ${hiddenSize}; take an even one, such as ${hiddenSize + 1}, or give the heads as well (numAttentionHeads, headDim)`,
      { flag: 'shape.hiddenSize', found: hiddenSize },
    )
  return nearest
}

const distance = (size: number): number => Math.abs(Math.log(size / usualHeadDim))

/** In ascending order. */
const divisors = (n: number): number[] => Array.from({ length: n }, (_, i) => i + 1).filter((each) => n % each === 0)
