import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createStopMatcher } from './stop-strings.ts'

function run(stops: readonly string[], pieces: readonly string[]): { shown: string; stopped: string | null } {
  const matcher = createStopMatcher(stops)
  let shown = ''
  for (const piece of pieces) {
    const { text, stopped } = matcher.push(piece)
    shown += text
    if (stopped !== null) return { shown, stopped }
  }
  return { shown: shown + matcher.flush(), stopped: null }
}

/** Looks through the whole text: first complete match, the longest of those. */
function oracle(stops: readonly string[], text: string): { shown: string; stopped: string | null } {
  const matches = stops.map((stop) => ({ stop, start: text.indexOf(stop) })).filter(({ start }) => start >= 0)
  matches.sort((a, b) => a.start + a.stop.length - (b.start + b.stop.length) || a.start - b.start)
  const first = matches[0]
  return first === undefined ? { shown: text, stopped: null } : { shown: text.slice(0, first.start), stopped: first.stop }
}

test('agrees with indexOf over the whole text, however it is cut', () => {
  const letters = fc.string({ unit: fc.constantFrom('a', 'b', '\n'), maxLength: 6 })
  const stops = fc.array(
    letters.filter((s) => s.length > 0),
    { maxLength: 4 },
  )
  fc.assert(
    fc.property(stops, fc.array(letters, { maxLength: 12 }), (stops, pieces) => {
      expect(run(stops, pieces)).toEqual(oracle(stops, pieces.join('')))
    }),
    { numRuns: 2000 },
  )
})

test('holds back no more than what could still become a stop string', () => {
  const letters = fc.string({ unit: fc.constantFrom('a', 'b'), minLength: 1, maxLength: 5 })
  fc.assert(
    fc.property(fc.array(letters, { minLength: 1, maxLength: 3 }), letters, (stops, text) => {
      const matcher = createStopMatcher(stops)
      const pushed = matcher.push(text)
      if (pushed.stopped !== null) return
      const beginsAStop = (end: string) => stops.some((stop) => stop.startsWith(end))
      const held = [...text].map((_, i) => text.slice(i)).find(beginsAStop) ?? ''
      expect(matcher.flush()).toBe(held)
      expect(pushed.text + held).toBe(text)
    }),
  )
})

describe('by example', () => {
  test('a stop string over three tokens', () => {
    const matcher = createStopMatcher(['</answer>'])
    expect(matcher.push('42</')).toEqual({ text: '42', stopped: null })
    expect(matcher.push('ans')).toEqual({ text: '', stopped: null })
    expect(matcher.push('wer> more')).toEqual({ text: '', stopped: '</answer>' })
    expect(matcher.push('later')).toEqual({ text: '', stopped: '</answer>' })
    expect(matcher.flush()).toBe('')
  })

  test('a beginning that does not go on is released', () => {
    const matcher = createStopMatcher(['</answer>'])
    expect(matcher.push('a </')).toEqual({ text: 'a ', stopped: null })
    expect(matcher.push('b>')).toEqual({ text: '</b>', stopped: null })
  })

  test('overlapping beginnings: "aab" in "aaab"', () => {
    expect(run(['aab'], ['a', 'a', 'a', 'b'])).toEqual({ shown: 'a', stopped: 'aab' })
  })

  test('the first complete match wins, also inside a longer one', () => {
    expect(run(['abcd', 'bc'], ['xabcd'])).toEqual({ shown: 'xa', stopped: 'bc' })
    expect(run(['bc', 'abc'], ['xabc'])).toEqual({ shown: 'x', stopped: 'abc' })
  })

  test('characters beyond the BMP are not split', () => {
    const matcher = createStopMatcher(['😀'])
    expect(matcher.push('😁')).toEqual({ text: '😁', stopped: null })
    expect(matcher.push('a😀b')).toEqual({ text: 'a', stopped: '😀' })
  })

  test('no stop strings: nothing is held; an empty one is refused', () => {
    expect(createStopMatcher([]).push('abc')).toEqual({ text: 'abc', stopped: null })
    expect(() => createStopMatcher(['a', ''])).toThrow('must not be empty')
    expect(() => createStopMatcher('END' as unknown as string[])).toThrow('stop: expected a list of texts, got "END"')
    expect(() => createStopMatcher([5] as unknown as string[])).toThrow('stop: expected a list of texts, got [5]')
  })
})

test('a long adversarial text takes linear time (it would not end otherwise)', () => {
  const stop = `${'a'.repeat(20_000)}b`
  expect(run([stop], new Array<string>(200).fill('a'.repeat(1000))).shown.length).toBe(200_000)
})
