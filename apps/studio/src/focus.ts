/**
 * Focus that is not lost. A button that goes away while it has the focus, as most that end or begin something do, leaves it to the
 * whole page, and whoever works by keyboard begins anew at its top. Here it is handed on: to what stands in the place, else to the
 * next thing there, else to the one before.
 */
const reachable = 'a[href], button, input, select, textarea, summary, [tabindex="0"]'

const reachableIn = (element: Element): HTMLElement[] =>
  [...element.querySelectorAll<HTMLElement>(reachable)].filter(
    (each) => !each.matches(':disabled, [tabindex="-1"], input[type="radio"]:not(:checked)') && each.checkVisibility(),
  )

interface Held {
  readonly element: HTMLElement
  /** From its parent up to `main`, or the whole page. */
  readonly above: readonly Element[]
  /** All that could be reached when it got the focus. */
  readonly order: readonly HTMLElement[]
}

/** Long enough for a panel that takes another's place to take the focus itself. */
const settleMs = 60

export function keepFocus(): void {
  const { body } = document
  let held: Held | undefined
  let isDue = false
  const settle = () => {
    isDue = false
    if (!held) return
    const { activeElement: active } = document
    if (active !== null && active !== body && active !== held.element) return
    const gone = !held.element.isConnected || held.element.matches(':disabled') || !held.element.checkVisibility()
    // Somebody left it.
    if (!gone && active !== held.element) held = undefined
    else if (gone) heirOf(held)?.focus()
  }
  const soon = () => {
    if (!held || isDue) return
    isDue = true
    setTimeout(settle, settleMs)
  }
  body.addEventListener('focusin', ({ target }) => {
    const element = target as HTMLElement
    const above: Element[] = []
    for (let each = element.parentElement; each && each !== body; each = each.parentElement) {
      above.push(each)
      if (each.tagName === 'MAIN') break
    }
    held = { element, above, order: reachableIn(body) }
  })
  body.addEventListener('focusout', soon)
  new MutationObserver(soon).observe(body, {
    ...{ childList: true, subtree: true, attributes: true },
    attributeFilter: ['disabled', 'hidden', 'open'],
  })
}

function heirOf({ element, above, order }: Held): HTMLElement | undefined {
  const place = order.indexOf(element)
  for (const each of above) {
    if (!each.isConnected) continue
    const there = reachableIn(each)
    const heir =
      there.find((one) => !order.includes(one)) ??
      there.find((one) => order.indexOf(one) > place) ??
      there.findLast((one) => order.includes(one))
    if (heir) return heir
  }
  return document.querySelector('main') ?? undefined
}
