/** 1.57B, 42B, 8: three digits, with the usual letters from a million on. */
export function shortNumber(value: number): string {
  for (const [unit, letter] of [
    [1e12, 'T'],
    [1e9, 'B'],
    [1e6, 'M'],
  ] as const) {
    if (value >= unit && value < 1000 * unit) return `${Number((value / unit).toPrecision(3))}${letter}`
  }
  return String(Number(value.toPrecision(3)))
}
