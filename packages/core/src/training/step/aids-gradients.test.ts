/**
 * The gradients of every training aid with every kind of stream, against finite differences of what is minimised.
 *
 * Tensor by tensor, all parameters of a kind are moved along their own gradient: the slope there is its norm. The objective is float32
 * and about 4, so right to about 5e-7; over a step of 2h = 4e-3 that is 2.5e-4 of slope, and the third derivative adds h^2 / 6 of its
 * size. A term whose gradient were missing or twice too large would be off by its own slope, 0.05 to 5 here.
 */
import { expect, it } from 'vitest'
import { onnxRuntime } from '../../node/onnx-runtime.ts'
import { aidCases, aidParameters, aidPlan, objectiveSession } from '../../testing/aid-cases.ts'

const h = 2e-3
const runtime = onnxRuntime({ threads: 1 })
/** `q_proj.weight` of all layers together. */
const kindOf = (name: string) => name.split('.').slice(-2).join('.')

it.each(Object.entries(aidCases))('%s', async (_, aidCase) => {
  const plan = aidPlan(aidCase)
  const parameters = aidParameters(plan)
  const session = await objectiveSession(runtime, plan)
  const here = await session.at(parameters)
  const { aids } = aidCase
  const adds = (aids.balance || aids.decorrelate || aids.ownLoss || aids.domainStreams) && plan.config.parscale.n > 1
  expect(Math.abs(here.objective - here.loss) > 1e-3).toBe(Boolean(adds))
  for (const kind of new Set(plan.trainable.map(({ name }) => kindOf(name)))) {
    const members = plan.trainable.map(({ name }) => name).filter((name) => kindOf(name) === kind)
    const slope = Math.hypot(...members.map((name) => Math.hypot(...here.gradients.get(name)!)))
    const at = async (step: number) => {
      const moved = new Map(parameters)
      for (const name of members) {
        const grad = here.gradients.get(name)!
        moved.set(
          name,
          parameters.get(name)!.map((x, i) => x + (step * grad[i]!) / (slope || 1)),
        )
      }
      return (await session.at(moved)).objective
    }
    const measured = ((await at(h)) - (await at(-h))) / (2 * h)
    expect(Math.abs(measured - slope), `${kind}: slope ${slope}, measured ${measured}`).toBeLessThan(1e-3 + 1e-3 * slope)
  }
  await session.dispose()
})
