/**
 * What the training aids (aids.ts) draw by chance, as inputs of the gradient graph. Each pass's follows from the run's seed and
 * the pass's number alone, so a run that goes on draws what it would have drawn.
 */
import { Tensor } from 'onnxruntime-common'
import { branches, elementCount } from '../../model/index.ts'
import { createRandom } from '../../random.ts'
import { dropoutName } from './aids.ts'
import type { Place, Tensors } from './buffers.ts'
import { dropoutMasks } from './dropout-masks.ts'
import type { LossPlan } from './loss.ts'

/** The inputs that are drawn. */
export function noisePlaces({ config, shape, aids = {} }: LossPlan): Place[] {
  const rows = shape.sequences * config.parscale.n * shape.tokens
  return Array.from({ length: aids.dropout ? config.numHiddenLayers : 0 }, (_, layer) =>
    branches.map((branch) => ({ name: dropoutName(layer, branch), shape: [rows, config.hiddenSize] })),
  ).flat()
}

/**
 * The feeds of one pass, by its number in the run, from 0. They lie in memory that the next pass's take over.
 *
 * @param seed the run's
 */
export function passNoise(plan: LossPlan, seed: number): (pass: number) => Tensors {
  const tensors = noisePlaces(plan).map(
    ({ name, shape }) => [name, new Tensor('float32', new Float32Array(elementCount(shape)), shape)] as const,
  )
  if (tensors.length === 0) return () => ({})
  const fill = dropoutMasks(plan.aids?.dropout ?? 0)
  return (pass) => {
    // Seeds far apart for neighbouring passes: SplitMix64 sees to it.
    const random = createRandom(createRandom(seed).below(2 ** 20) * 2 ** 32 + (pass % 2 ** 32))
    for (const [, tensor] of tensors) fill(tensor.data as Float32Array, random)
    return Object.fromEntries(tensors)
  }
}
