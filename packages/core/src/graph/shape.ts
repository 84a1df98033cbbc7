/** Arithmetic on shapes whose dimensions may be symbols. */
import type { Dim, Shape } from './types.ts'

/** The product of dimensions in canonical form: `[2, 'tokens', 'rows']` is `'2*rows*tokens'`. */
export function product(dims: Shape): Dim {
  let factor = 1
  const symbols: string[] = []
  for (const dim of dims) {
    for (const part of typeof dim === 'number' ? [dim] : dim.split('*')) {
      const number = Number(part)
      if (Number.isNaN(number)) symbols.push(String(part))
      else factor *= number
    }
  }
  if (symbols.length === 0 || factor === 0) return factor
  return [...(factor === 1 ? [] : [String(factor)]), ...symbols.sort()].join('*')
}

/** The sum of dimensions along a concatenated axis. */
export function sum(dims: Shape): Dim {
  return dims.every((dim) => typeof dim === 'number') ? dims.reduce((a, b) => a + b, 0) : dims.join('+')
}

/** Numpy-style broadcast; undefined where the shapes do not fit. */
export function broadcast(a: Shape, b: Shape): Dim[] | undefined {
  const rank = Math.max(a.length, b.length)
  const out: Dim[] = []
  for (let i = 0; i < rank; i++) {
    const x = a[i - rank + a.length] ?? 1
    const y = b[i - rank + b.length] ?? 1
    if (x !== y && x !== 1 && y !== 1) return undefined
    out.push(x === 1 ? y : x)
  }
  return out
}

export const showShape = (shape: Shape): string => `[${shape.join(', ')}]`
