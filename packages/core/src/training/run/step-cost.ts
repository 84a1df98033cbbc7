/** What a training step takes, read off its graphs: nothing has to be run. */
import type { Graph, Node, OpName, Value } from '../../graph/index.ts'
import { elementCount } from '../../model/index.ts'
import type { Runtime } from '../../runtime/index.ts'
import { evaluationGraph, gradientGraph, type TrainPlan } from '../step/graphs.ts'
import { noiseBytes } from '../step/pass-noise.ts'

/** Floating point operations of the matrix products of one step: 2 m n k each. */
export const stepFlops = (plan: TrainPlan, microBatches = 1): number =>
  microBatches * gradientGraph(plan).nodes.reduce((sum, node) => sum + productFlops(node), 0)

function productFlops({ op, inputs, outputs, attributes }: Node<OpName>): number {
  if (op !== 'Gemm' && op !== 'MatMul') return 0
  const inner = inputs[0]!.shape.at(attributes.transA === 1 ? 0 : -1) as number
  return 2 * elementCount(outputs[0]!.shape as number[]) * inner
}

/** Bytes of one process. */
export interface TrainingMemory {
  readonly parameters: number
  /** m and v. */
  readonly moments: number
  readonly gradients: number
  /** Everything else that is alive at the worst moment of a step, and dropout's masks. */
  readonly activations: number
  /** Node and the engine themselves. */
  readonly runtime: number
  readonly total: number
}

const float = 4
const runtimeBytes = 300e6
/** The same where the runtime knows what its sessions take: Node, code that was compiled, data that were read ahead. */
const nodeBytes = 170e6
/** The engine's arena grows in powers of two and has gaps: 1.2 to 1.8 times what is alive was measured. */
const arenaFactor = 1.5

/**
 * Peak memory of training by `TrainStep` on the CPU: state, and what sessions take, which the native runtime knows; of ONNX Runtime it
 * is estimated from what is alive at the worst node of the graph, within 25 % of what was measured for 10 and 100 million parameters
 * at P = 1, 2 and 4 (docs/log.md).
 *
 * @param tree by `ParallelStep`, one of so many workers
 */
export function estimateTrainingMemory(
  plan: TrainPlan,
  microBatches = 1,
  runtime?: SizedRuntime,
  tree?: { readonly workers: number },
): TrainingMemory {
  const bytes = float * plan.trainable.reduce((sum, { shape }) => sum + elementCount(shape), 0)
  const [parameters, moments] = [bytes, (2 * bytes) / (tree?.workers ?? 1)]
  const gradients = bytes * (tree ? mostHeld(Math.ceil(microBatches / tree.workers)) : 1)
  const accumulate = !tree && microBatches > 1
  const activations = sessionBytes(gradientGraph(plan, { accumulate }), runtime) + noiseBytes(plan)
  const own = runtime?.sessionBytes ? nodeBytes : runtimeBytes
  const total = parameters + moments + gradients + activations + own
  return { parameters, moments, gradients, activations, runtime: own, total }
}

/** Gradients that are held at once while so many passes are summed in a tree: that of the pass, and a sum for each level that waits. */
export const mostHeld = (passes: number): number => 1 + Math.floor(Math.log2(passes))

/** Besides, while a held-out loss is taken: the engine keeps the arena of that session, too. */
export const estimateEvaluationMemory = (plan: TrainPlan, runtime?: SizedRuntime): number =>
  sessionBytes(evaluationGraph(plan), runtime)

type SizedRuntime = Pick<Runtime, 'sessionBytes'>

const sessionBytes = (graph: Graph<OpName>, runtime: SizedRuntime | undefined): number =>
  runtime?.sessionBytes?.(graph) ?? arenaFactor * peakBytes(graph)

/** Operators whose output is their input under another shape. */
const views: ReadonlySet<OpName> = new Set(['Reshape', 'Unsqueeze'])
/** Operators that may write over an input that nobody reads afterwards. */
const inPlace: ReadonlySet<OpName> = new Set(['Add', 'Sub', 'Mul', 'Div', 'Neg', 'Exp', 'Sqrt', 'Sigmoid', 'Softmax'])

/**
 * The most bytes of computed values that are alive at once when nodes run in their order and each value goes after its last
 * reader. Inputs and outputs belong to the caller and are not counted.
 */
export function peakBytes(graph: Graph<OpName>): number {
  const owner = new Map<string, string>()
  const ownerOf = (value: Value) => owner.get(value.name) ?? value.name
  for (const { op, inputs, outputs } of graph.nodes) if (views.has(op)) owner.set(outputs[0]!.name, ownerOf(inputs[0]!))
  const lastReader = new Map<string, number>()
  for (const [i, { inputs }] of graph.nodes.entries()) for (const x of inputs) if (x) lastReader.set(ownerOf(x), i)

  const alive = new Map<string, number>()
  const notOurs = new Set(graph.outputs.map(ownerOf))
  let [now, peak] = [0, 0]
  const free = (name: string) => {
    now -= alive.get(name) ?? 0
    alive.delete(name)
  }
  for (const [i, { op, inputs, outputs }] of graph.nodes.entries()) {
    const dying = inputs.flatMap((x) => (x && lastReader.get(ownerOf(x)) === i ? [ownerOf(x)] : []))
    const size = bytesOf(outputs[0]!)
    const reused = inPlace.has(op) ? dying.find((name) => alive.get(name) === size) : undefined
    if (reused) free(reused)
    for (const out of views.has(op) ? [] : outputs) {
      if (notOurs.has(out.name)) continue
      alive.set(out.name, bytesOf(out))
      now += bytesOf(out)
    }
    peak = Math.max(peak, now)
    for (const name of dying) free(name)
    for (const out of outputs) if (!lastReader.has(out.name)) free(out.name)
  }
  return peak
}

const bytesOf = ({ dtype, shape }: Value): number => elementCount(shape as number[]) * (/64$/.test(dtype) ? 8 : float)
