/** The second half of a step: AdamW, from gradients that have been computed. */
import { Tensor } from 'onnxruntime-common'
import type { Graph } from '../../graph/index.ts'
import type { Runtime, Session, SessionOptions } from '../../runtime/index.ts'
import type { Buffers, Tensors } from './buffers.ts'
import { gradientName, momentName, nextName, piece, pieceUpdateGraph, type TrainPlan, updateGraph } from './graphs.ts'
import { type AdamWStep, adamWFeeds, decays, rateShare } from './optimizer.ts'

/** Tensors that a run reads, and writes. */
type Written = Pick<Buffers, 'feeds' | 'outputs' | 'advance'>

export interface Update {
  /** Moves the state. */
  run(state: Written, gradients: Written, step: AdamWStep): Promise<void>
  dispose(): Promise<void>
}

/** A graph to compile: what a run renews stays where it is, reports are read. */
export function renewing(graph: Graph): [Graph, SessionOptions] {
  const renewed = graph.outputs.map(({ name }) => name).filter((name) => name.startsWith(nextName('')))
  return [graph, { planMemory: false, keepOnDevice: renewed }]
}

export const createUpdate = async (runtime: Runtime, plan: TrainPlan): Promise<Update> =>
  runtime.device === 'cpu' && !runtime.fuses
    ? inPieces(plan, await runtime.createSession(...renewing(pieceUpdateGraph(plan))))
    : inOneRun(plan, await runtime.createSession(...renewing(updateGraph(plan))))

const inOneRun = ({ optimizer }: TrainPlan, session: Session): Update => ({
  async run(state, gradients, step) {
    state.advance(await session.run({ ...state.feeds, ...gradients.feeds, ...adamWFeeds(optimizer, step) }, state.outputs))
  },
  dispose: () => session.dispose(),
})

/** Elements of a piece: enough for the engine to use several threads, few enough for caches. Measured in docs/log.md. */
export const pieceElements = 196_608

/**
 * On the CPU memory is what limits AdamW, over a dozen elementwise operators. Piece by piece, what they hand
 * to each other stays in the cache; in place, no second copy of the state is there to be written.
 */
const inPieces = ({ optimizer, trainable }: TrainPlan, session: Session): Update => ({
  async run(state, gradients, step) {
    const tensors = { ...state.feeds, ...gradients.feeds }
    for (const { name, shape, part } of trainable) {
      const share = rateShare(optimizer, part)
      const scalars = adamWFeeds(optimizer, { ...step, learningRate: share * step.learningRate }, decays(shape))
      for (const { feeds, outputs } of pieces(tensors, name)) await session.run({ ...feeds, ...scalars }, outputs)
    }
  },
  dispose: () => session.dispose(),
})

/** Views of a parameter's arrays under the names of `pieceUpdateGraph`. */
function* pieces(tensors: Tensors, name: string): Generator<{ feeds: Tensors; outputs: Tensors }> {
  const names = (of: string) => [of, momentName('m', of), momentName('v', of)]
  const elements = tensors[name]!.size
  for (let start = 0; start < elements; start += pieceElements) {
    const view = (of: string) => {
      const { data } = tensors[of]!
      const part = (data as Float32Array).subarray(start, start + pieceElements)
      return new Tensor('float32', part, [part.length])
    }
    const state = names(name).map(view)
    const inputs = names(piece)
    yield {
      feeds: {
        ...Object.fromEntries(inputs.map((input, i) => [input, state[i]!])),
        [gradientName(piece)]: view(gradientName(name)),
      },
      outputs: Object.fromEntries(inputs.map((input, i) => [nextName(input), state[i]!])),
    }
  }
}
