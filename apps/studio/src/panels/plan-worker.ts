/** Plans in a thread of their own: a thousand candidates take a quarter of a second, and a slider asks anew at each move. */
import { type Budget, type Device, makePlan, type Plan, weightFormats } from '@parscale/core/cost'
import { familyShapes } from '@parscale/core/internal/cost'
import { fitLaw, type LawName, lawNamed, type Point, predictLoss } from '@parscale/core/law'

export interface PlanAsk {
  readonly device: Device
  readonly budget: Budget
  readonly streams: readonly number[]
  readonly law: LawName
  readonly points: readonly Point[]
  /** Of the fit, where it is found again. */
  readonly theta: readonly number[]
}

/** The plan, or why there is none. */
export type PlanAnswer = Plan | string

const shapes = familyShapes(512, 4096)
/** Tokens that the law's own models were trained on. */
const trainingTokens = 20_000 * 1024 * 2048

globalThis.onmessage = ({ data }: MessageEvent<PlanAsk>) => {
  const { device, budget, streams, law, points, theta } = data
  let answer: PlanAnswer
  try {
    const fit = fitLaw(lawNamed(law), points, [theta])
    answer = makePlan({
      ...{ device, budget, shapes, streams, formats: weightFormats, batch: 1, inputTokens: 512, outputTokens: 128, kvBits: 16 },
      ...{ trainingTokens, trainingSequenceLength: 2048 },
      loss: (N, P) => predictLoss(fit, { N, P }).value,
    })
  } catch (error) {
    answer = (error as Error).message
  }
  postMessage(answer)
}
