/** A page used by keyboard alone: what has the focus, whether that is seen, and what somebody who listens to it is told. */
import type { Page } from 'playwright-core'
import { expect } from 'vitest'

export interface Focused {
  readonly role: string
  readonly name: string
}

export interface Keyboard {
  /** What has the focus; role `none` where nothing has. */
  focused(): Promise<Focused>
  /** Presses a key, and expects the focus to be somewhere afterwards, and to be seen. */
  press(key: string, times?: number): Promise<void>
  /** Presses Tab, or Shift+Tab, until an element of that role and name has the focus. */
  tabTo(role: string, name: string | RegExp, key?: 'Tab' | 'Shift+Tab'): Promise<void>
  type(text: string): Promise<void>
  /** Empties a field and types. */
  replace(text: string): Promise<void>
  /** Expects the focus to be somewhere, and to be seen: after the page has changed by itself. */
  keepsFocus(): Promise<void>
  /** Expects words in a live region, said since the last time this was asked or `hush` was called. */
  hears(words: RegExp, timeout?: number): Promise<void>
  hush(): Promise<void>
}

/** In the page: styles of what can have the focus, as they are without; and what live regions said. */
const inPage = `(() => {
  const reachable = 'a[href], button, input, select, textarea, summary, [tabindex="0"]'
  const shown = (element) => {
    const style = getComputedStyle(element)
    return [style.outlineStyle, style.outlineWidth, style.outlineColor, style.boxShadow].join(' ')
  }
  const carriers = (element) => [element, ...(element.labels ?? [])]
  let rings = new Map()
  let first
  const heard = []
  const liveOf = (node) => {
    const element = node.nodeType === 1 ? node : node.parentElement
    const region = element?.closest('[role="status"], [role="alert"], [role="log"], [aria-live]')
    if (!region || region.getAttribute('aria-live') === 'off' || region.closest('[aria-busy="true"]')) return undefined
    return region
  }
  const say = (region) => {
    const text = region.textContent.replace(/\\s+/g, ' ').trim()
    if (text && heard.at(-1) !== text) heard.push(text)
  }
  addEventListener('DOMContentLoaded', () => new MutationObserver((records) => {
    const fresh = new Set(records.flatMap((record) => [...record.addedNodes]))
    for (const { target, addedNodes } of records) {
      // A region that comes with its words is not read out, unless it is an alert.
      const region = liveOf(target)
      if (region && ![...fresh].some((node) => node.contains(region))) say(region)
      for (const node of addedNodes) {
        if (node.nodeType !== 1) continue
        for (const alert of [node, ...node.querySelectorAll('[role="alert"]')])
          if (alert.getAttribute('role') === 'alert') say(alert)
      }
    }
  }).observe(document.body, { childList: true, characterData: true, subtree: true }))
  globalThis.keyboard = {
    heard,
    remember() {
      // What has the focus now was looked at before it had.
      const now = new Set(carriers(document.activeElement))
      const all = [...document.querySelectorAll(reachable)].flatMap(carriers)
      rings = new Map(all.map((element) => [element, now.has(element) ? rings.get(element) : shown(element)]))
    },
    /** Why the focus is not seen; '' where it is. It need not be on the screen where the page has changed by itself. */
    unseen(anywhere) {
      const element = document.activeElement
      if (!element || element === document.body) return 'nothing has the focus'
      const seen = carriers(element).some((carrier) => {
        const { width, height, top, bottom, left, right } = carrier.getBoundingClientRect()
        const style = getComputedStyle(carrier)
        const ring = (style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2) || style.boxShadow !== 'none'
        const large = width > 8 && height > 8 && Number(style.opacity) > 0
        const onScreen = bottom > 0 && top < innerHeight && right > 0 && left < innerWidth
        return ring && large && (anywhere || onScreen) && shown(carrier) !== rings.get(carrier)
      })
      return seen ? '' : 'no ring around ' + element.outerHTML.slice(0, 200)
    },
    /** Where it stands: its own box, or its label's. */
    place() {
      const element = document.activeElement
      const box = (element.matches('.unseen, .segments input') ? element.labels[0] : element).getBoundingClientRect()
      return { top: box.top + scrollY, bottom: box.bottom + scrollY, left: box.left, right: box.right }
    },
    /** Covered by what stays at the top while the page scrolls. */
    covered() {
      const element = document.activeElement
      const box = (element.matches('.unseen, .segments input') ? element.labels[0] : element).getBoundingClientRect()
      const at = document.elementFromPoint(box.left + Math.min(box.width, 40) / 2, Math.max(0, box.top) + Math.min(box.height, 20) / 2)
      return at?.closest('.side') && !element.closest('.side') ? element.outerHTML.slice(0, 120) : ''
    },
    /** Whether the focus is where it was when this was called first since the walk began. */
    isBack(begins) {
      if (begins) first = document.activeElement
      return !begins && document.activeElement === first
    },
    count: () => [...document.querySelectorAll(reachable)].filter((element) =>
      !element.matches(':disabled, [tabindex="-1"], input[type="radio"]:not(:checked)') && element.checkVisibility()).length,
  }
})()`

interface InPage {
  readonly heard: string[]
  remember(): void
  unseen(anywhere: boolean): string
  place(): { top: number; bottom: number; left: number; right: number }
  covered(): string
  isBack(begins: boolean): boolean
  count(): number
}

/** To be called before the page goes anywhere. */
export async function listenTo(page: Page): Promise<void> {
  await page.addInitScript(inPage)
}

export function keyboardOf(page: () => Page): Keyboard & {
  /** Walks through all there is by Tab and back; returns the stops. @throws where one is skipped, hidden, nameless or out of order */
  walk(): Promise<Focused[]>
} {
  const call = async <K extends 'remember' | 'unseen' | 'place' | 'covered' | 'count'>(name: K, anywhere = false) =>
    (await page().evaluate(({ name, anywhere }) => (globalThis as unknown as { keyboard: InPage }).keyboard[name](anywhere), {
      name,
      anywhere,
    })) as ReturnType<InPage[K]>
  const focused = async (): Promise<Focused> => {
    const at = page().locator('*:focus')
    if ((await at.count()) === 0) return { role: 'none', name: '' }
    const [line = ''] = (await at.ariaSnapshot()).split('\n')
    const [, role = 'none', name = ''] = /^- '?([a-z]+)(?: "((?:[^"\\]|\\.)*)")?/.exec(line) ?? []
    return { role, name: name.replace(/\\"/g, '"') }
  }
  const hush = async () => {
    await page().evaluate(() => (globalThis as unknown as { keyboard: InPage }).keyboard.heard.splice(0))
  }
  // What hands it on waits for what may take it by itself.
  const keepsFocus = async (anywhere = true) => {
    await expect.poll(() => call('unseen', anywhere), { timeout: 3000 }).toBe('')
  }
  const press = async (key: string, times = 1) => {
    for (let i = 0; i < times; i++) {
      await call('remember')
      await page().keyboard.press(key)
      await keepsFocus(false)
    }
  }
  const matches = (at: Focused, role: string, name: string | RegExp) =>
    at.role === role && (typeof name === 'string' ? at.name === name : name.test(at.name))
  return {
    focused,
    press,
    keepsFocus: () => keepsFocus(),
    async tabTo(role, name, key = 'Tab') {
      const passed: string[] = []
      for (let i = 0; i < 140; i++) {
        const at = await focused()
        if (matches(at, role, name)) return
        passed.push(`${at.role} ${at.name}`)
        await call('remember')
        await page().keyboard.press(key)
        // From the last one the browser's own frame is next, and then the first one.
        const unseen = await call('unseen')
        if (unseen !== 'nothing has the focus') await keepsFocus(false)
      }
      throw new Error(`Tab does not lead to ${role} ${name}; it leads to\n${[...new Set(passed)].join('\n')}`)
    },
    type: async (text) => await page().keyboard.type(text),
    async replace(text) {
      await page().keyboard.press('Control+A')
      await page().keyboard.type(text)
    },
    async hears(words, timeout = 60_000) {
      const all = () => page().evaluate(() => (globalThis as unknown as { keyboard: InPage }).keyboard.heard)
      await expect.poll(async () => (await all()).join('\n'), { timeout, message: `heard ${words}` }).toMatch(words)
      await hush()
    },
    hush,
    async walk() {
      const stops: (Focused & { readonly place: ReturnType<InPage['place']> })[] = []
      await page().evaluate('document.activeElement.blur()')
      const expected = await call('count')
      for (;;) {
        await call('remember')
        await page().keyboard.press('Tab')
        const unseen = await call('unseen')
        if (unseen === 'nothing has the focus') break
        // Some browsers begin anew where nothing comes after the last one, not in their own frame.
        if (
          await page().evaluate(
            (begins) => (globalThis as unknown as { keyboard: InPage }).keyboard.isBack(begins),
            stops.length === 0,
          )
        )
          break
        expect(unseen).toBe('')
        expect(await call('covered'), 'what stays at the top covers it').toBe('')
        stops.push({ ...(await focused()), place: await call('place') })
        expect(stops.length, `a trap: ${stops.slice(-8).map(({ role, name }) => `${role} ${name}`)}`).toBeLessThanOrEqual(
          expected + 2,
        )
      }
      for (const { role, name } of stops) {
        expect(role).toMatch(/^(?:button|link|textbox|combobox|radio|checkbox|slider|spinbutton|group|region|main)$/)
        expect(name, `a ${role} without a name`).not.toBe('')
      }
      expect(stops.length).toBeGreaterThanOrEqual(expected)
      for (const [i, { place, role, name }] of stops.entries()) {
        const before = stops[i - 1]
        // Further down, or to the right of it: never up and back.
        const back = before && place.bottom <= before.place.top && place.left < before.place.left
        expect(back, `${role} ${name} comes after ${before?.name}, and stands above it and to its left`).toBeFalsy()
      }
      // On to the last one, whether the walk ended before the first one or on it.
      const backwards: string[] = []
      for (let i = 0; backwards.length < stops.length && i < stops.length + 2; i++) {
        await page().keyboard.press('Shift+Tab')
        const { role, name } = await focused()
        if (role !== 'none') backwards.push(`${role} ${name}`)
      }
      expect(backwards.reverse()).toEqual(stops.map(({ role, name }) => `${role} ${name}`))
      return stops
    },
  }
}
