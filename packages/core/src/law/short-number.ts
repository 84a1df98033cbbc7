/** 1.57B, 42B, 8: three digits, with the usual letters from a million on. */
export function shortNumber(value: number): string {
  const rounded = Number(value.toPrecision(3)) // first, lest 999,999,999 become 1000M
  for (const [unit, letter] of [
    [1e12, 'T'],
    [1e9, 'B'],
    [1e6, 'M'],
  ] as const) {
    if (rounded >= unit && rounded < 1000 * unit) return `${Number((rounded / unit).toPrecision(3))}${letter}`
  }
  return String(rounded)
}
