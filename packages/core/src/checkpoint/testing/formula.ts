/** Weights as a formula of their names, which scripts/fixtures/make-logit-fixtures.py computes alike. */

/** Values in [-0.25, 0.25), around 1 for norms: the hash of the name goes through a mixer of 32 bits with each index. */
export function formulaWeights(name: string, count: number): Float32Array<ArrayBuffer> {
  let seed = 0x811c9dc5
  for (const byte of new TextEncoder().encode(name)) seed = Math.imul(seed ^ byte, 0x01000193)
  const middle = name.includes('norm') ? 1 : 0
  return Float32Array.from({ length: count }, (_, i) => {
    let x = (Math.imul(i, 0x9e3779b1) + seed) >>> 0
    for (let round = 0; round < 2; round++) x = Math.imul(x ^ (x >>> 16), 0x45d9f3b) >>> 0
    x = (x ^ (x >>> 16)) >>> 0
    return (x / 2 ** 32 - 0.5) / 2 + middle
  })
}
