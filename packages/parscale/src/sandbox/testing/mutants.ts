/** Wrong and half-right programs made of right ones: one or two small changes each, the same ones every time. */
import { createRandom, type Random } from '@parscale/core/internal'

/** What stands in the source, and what it becomes. */
const changes: readonly (readonly [RegExp, string])[] = [
  [/ <= /g, ' < '],
  [/ < /g, ' <= '],
  [/ >= /g, ' > '],
  [/ > /g, ' < '],
  [/ == /g, ' != '],
  [/ != /g, ' == '],
  [/ \+ /g, ' - '],
  [/ - /g, ' + '],
  [/ \* /g, ' + '],
  [/ \/\/ /g, ' / '],
  [/ % /g, ' // '],
  [/ and /g, ' or '],
  [/ or /g, ' and '],
  [/ not /g, ' '],
  [/ in /g, ' not in '],
  [/\bTrue\b/g, 'False'],
  [/\bFalse\b/g, 'True'],
  [/\b0\b/g, '1'],
  [/\b1\b/g, '2'],
  [/\b2\b/g, '3'],
  [/\bmax\b/g, 'min'],
  [/\bmin\b/g, 'max'],
  [/\bsorted\b/g, 'list'],
  [/\bappend\b/g, 'remove'],
  [/\bset\b/g, 'list'],
  [/\breturn /g, 'yield '],
  [/\breturn /g, 'raise '],
  [/\breturn .*/g, 'return None'],
  [/\breturn .*/g, 'return []'],
  [/\breturn .*/g, 'pass'],
  [/\bfor /g, 'while '],
  [/\bif /g, 'while '],
  [/:\n/g, '\n'],
  [/\)/g, ''],
  [/\]/g, '][:1]'],
  [/$/g, '\n    return 0\n'],
  [/^/g, '    import os\n    os._exit(0)\n'],
  [/^/g, '    raise SystemExit(0)\n'],
  [/^/g, '    print("passed")\n'],
]

/** `count` different changes of a program; the first is the program itself. Fewer where there are not so many. */
export function mutants(source: string, count: number, seed: number): string[] {
  const random = createRandom(seed)
  const made = new Set([source])
  const base = () => (made.size > count / 2 ? [...made][random.below(made.size)]! : source)
  for (let tries = 0; made.size < count && tries < 100 * count; tries++) made.add(changed(base(), random))
  return [...made]
}

function changed(source: string, random: Random): string {
  const [pattern, replacement] = changes[random.below(changes.length)]!
  const places = [...source.matchAll(pattern)]
  if (places.length === 0) return source
  const place = places[random.below(places.length)]!
  return source.slice(0, place.index) + replacement + source.slice(place.index + place[0].length)
}
