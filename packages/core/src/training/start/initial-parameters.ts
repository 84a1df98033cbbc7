/**
 * First values of parameters: of all of a fresh model, or of what streams add to a trained one. The reference leaves the
 * latter uninitialised, which is how its users' NaN came about; here every parameter is drawn before it is used.
 */
import { requireFinite } from '../../checkpoint/index.ts'
import { usageError } from '../../errors.ts'
import {
  biasName,
  elementCount,
  embeddingName,
  gainName,
  gateName,
  isFactor,
  type ModelConfig,
  nearlyClosedGate,
  outputScaleName,
  type Parameter,
} from '../../model/index.ts'
import { createRandom, type Random } from '../../random.ts'
import { prefixMlpStd } from './prefix-mlp.ts'

export interface InitialOptions {
  /** A safe integer. Each tensor's values follow from it and the tensor's name alone. */
  readonly seed: number
  /**
   * `random`: everything from N(0, std), factors of streams from N(1, std); where the backbone is drawn as well, scales are random
   * signs (the embedding's times N(1, 0.2)) and gains N(1, 0.5), so that streams differ from the first step. `near-identity`: streams that leave the backbone's
   * logits as they are, to 1e-5, and yet learn: factors 1, lora with B = 0, bitfit with biases 0, a prefix behind a nearly closed
   * gate.
   */
  readonly init: 'random' | 'near-identity'
  /** Default: 0.02, the paper's. */
  readonly std?: number
}

/**
 * Values by name. Norms multiply by 1, biases of layers 0, an open gate 1.
 *
 * @throws usage error for a start that cannot be near the identity, or would leave the streams the same for ever
 */
export function initialParameters(
  parameters: readonly Parameter[],
  config: ModelConfig,
  options: InitialOptions,
): Map<string, Float32Array> {
  const { seed, init, std = 0.02 } = options
  if (!(std >= 0 && std < Infinity))
    throw usageError(`initial values: std must be a number of at least 0, got ${std}`, { flag: 'std', found: std })
  if (init === 'near-identity') requireNearIdentity(config)
  // Random signs would make nonsense of weights that have learned something.
  const fresh = parameters.some(({ part }) => part === 'embedding')
  return new Map(
    parameters.map((parameter) => {
      const constant = constantStart(parameter, config, init)
      const values = new Float32Array(elementCount(parameter.shape))
      if (constant !== undefined) return [parameter.name, values.fill(constant)]
      const random = createRandom(tensorSeed(seed, parameter.name))
      const draw = drawing(parameter, fresh, std)
      for (let i = 0; i < values.length; i++) values[i] = draw(random)
      return [parameter.name, values]
    }),
  )
}

/** The value of all elements, where it is not drawn. */
function constantStart({ name, part }: Parameter, { features }: ModelConfig, init: InitialOptions['init']): number | undefined {
  const near = init === 'near-identity'
  if (name === gateName) return near ? nearlyClosedGate : 1
  if (part === 'norm') return 1 - features.normOffset
  if (name.endsWith('.bias')) return 0
  // B A x is 0 through B; a random A tells the streams apart.
  if (near && (name.endsWith('.lora_B') || name.endsWith(biasName('')))) return 0
  if (near && isFactor(name)) return 1
  return undefined
}

/** How each element is drawn. */
function drawing(parameter: Parameter, fresh: boolean, std: number): (random: Random) => number {
  const { name } = parameter
  if (!isFactor(name)) return (random) => (prefixMlpStd(parameter, std) ?? std) * random.normal()
  if (!fresh) return (random) => 1 + std * random.normal()
  if (name === outputScaleName(embeddingName)) return (random) => (random.uniform() < 0.5 ? -1 : 1) * (1 + 0.2 * random.normal())
  return name.endsWith(gainName('')) ? (random) => 1 + 0.5 * random.normal() : (random) => Math.sign(random.normal()) || 1
}

function requireNearIdentity({ parscale: { n, input, gate, aggregation } }: ModelConfig): void {
  if (input.includes('prefix') && !gate) {
    throw usageError(
      'near-identity start: a prefix without a gate changes what every token sees; add the gate (a tensor that the reference does not know), or start at random',
      { flag: 'gate', expected: true, found: gate },
    )
  }
  // Equal streams with weights that do not depend on the token have parallel gradients, which AdamW makes equal steps of.
  const drawn = input.includes('lora') || (input.includes('prefix') && gate)
  if (n > 1 && input.length > 0 && !drawn && aggregation !== 'dynamic') {
    throw usageError(
      `near-identity start: ${input.join(', ')} that change nothing and aggregation "${aggregation}" give all streams the same gradients, so they would stay the same; start at random, or aggregate dynamically`,
      { flag: 'init', expected: 'random', found: 'near-identity' },
    )
  }
}

/** 53 bits of FNV-1a over seed and name, so that neither the order nor the company of tensors matters. */
function tensorSeed(seed: number, name: string): number {
  if (!Number.isSafeInteger(seed))
    throw usageError(`seed must be an integer up to 2^53, got ${seed}`, { flag: 'seed', found: seed })
  let hash = 0xcbf29ce484222325n
  for (const byte of new TextEncoder().encode(`${seed} ${name}`))
    hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n)
  return Number(hash >> 11n)
}

/**
 * For parameters that were read and are to be trained.
 *
 * @param file names where they came from
 * @throws checkpoint error naming the first tensor that is not finite, and what to do
 */
export function requireFiniteParameters(parameters: ReadonlyMap<string, Float32Array>, file: string): void {
  for (const [tensor, values] of parameters) requireFinite(values, tensor, file)
}
