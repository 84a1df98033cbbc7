/** The loss of each token under parameters as they are, without gradients: held-out loss in the middle of a run. */
import type { Runtime, Session } from '../../runtime/index.ts'
import type { Tensors } from './buffers.ts'
import { evaluationGraph, type TrainPlan } from './graphs.ts'
import { lossFeeds, type TokenBatch } from './loss-feeds.ts'

export class LossEvaluation {
  readonly #session: Session
  readonly #feeds: ReturnType<typeof lossFeeds>

  private constructor(session: Session, plan: TrainPlan) {
    this.#session = session
    this.#feeds = lossFeeds(plan)
  }

  static async create(runtime: Runtime, plan: TrainPlan): Promise<LossEvaluation> {
    return new LossEvaluation(await runtime.createSession(evaluationGraph(plan), { planMemory: false }), plan)
  }

  /**
   * Surprisal in nats of each predicted position, [B*T], whatever its weight.
   *
   * @param parameters `TrainStep.parameterFeeds`
   * @throws usage error for a batch that does not fit the plan
   */
  async run(parameters: Tensors, batch: TokenBatch): Promise<Float32Array> {
    const { ids, documents } = batch
    const [{ loss_weights: _, ...feeds }] = this.#feeds([{ ids, ...(documents ? { documents } : {}) }]) as [Tensors]
    const { surprisals } = await this.#session.run({ ...parameters, ...feeds })
    return surprisals!.data as Float32Array
  }

  /** Frees native memory. */
  async dispose(): Promise<void> {
    await this.#session.dispose()
  }
}
