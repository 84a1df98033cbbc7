/** Asks the worker for plans: one at a time, and of what is asked meanwhile only the last. */
import type { Fit, LawName } from '@parscale/core/law'
import { useEffect, useRef, useState } from 'preact/hooks'
import type { PlanAnswer, PlanAsk } from './plan-worker.ts'

let worker: Worker | undefined
let busy = false
let next: (() => void) | undefined

function ask(question: PlanAsk, answer: (found: PlanAnswer) => void): void {
  const begin = () => {
    worker ??= new Worker(new URL('./plan-worker.ts', import.meta.url), { type: 'module' })
    busy = true
    next = undefined
    const end = (found: PlanAnswer) => {
      busy = false
      answer(found)
      next?.()
    }
    worker.onmessage = ({ data }: MessageEvent<PlanAnswer>) => end(data)
    worker.onerror = (event) => {
      event.preventDefault()
      // The next who asks starts another.
      worker?.terminate()
      worker = undefined
      end('the part of this page that plans could not be fetched: the server does not answer; choose again once it does')
    }
    worker.postMessage(question)
  }
  if (busy) next = begin
  else begin()
}

/** The plan for the last question that was answered; undefined before the first is. A text says why there is none. */
export function usePlan(fit: Fit | Error, question: Pick<PlanAsk, 'device' | 'budget' | 'streams'>): PlanAnswer | undefined {
  const [plan, setPlan] = useState<PlanAnswer>()
  const { device, budget, streams } = question
  const shown = useRef(true)
  useEffect(
    () => () => {
      shown.current = false
    },
    [],
  )
  useEffect(() => {
    if (fit instanceof Error) {
      setPlan(fit.message)
      return
    }
    const { law, points, theta } = fit
    ask({ device, budget, streams, law: law.name as LawName, points, theta: [...theta] }, (found) => {
      // Also one that is asked anew since: a slider that is drawn shows what it passes.
      if (shown.current) setPlan(() => found)
    })
  }, [fit, device, budget.memoryBytes, budget.secondsPerToken])
  return plan
}
