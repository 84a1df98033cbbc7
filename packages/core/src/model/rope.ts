/** Rotary position embedding as tables: families and context stretchings differ only in the frequencies. */
import type { ModelConfig } from './config.ts'
import type { Features } from './features.ts'

type RopeConfig = Pick<ModelConfig, 'headDim' | 'ropeTheta' | 'ropeScaling'> & {
  readonly features?: Pick<Features, 'rotaryFactor'>
}

/** Frequencies of a head: half of the size that is rotated, which is all of it but where a family rotates a part. */
export const rotaryHalf = ({ headDim, features }: Pick<RopeConfig, 'headDim' | 'features'>): number =>
  Math.floor(headDim * (features?.rotaryFactor ?? 1)) / 2

/**
 * Inverse frequencies [rotaryHalf] in float32, as the reference computes them.
 * Llama 3's stretching leaves short wavelengths alone, divides long ones by `factor` and blends in between
 * (transformers, `modeling_rope_utils.py`).
 */
export function inverseFrequencies(config: RopeConfig): Float32Array {
  const { ropeTheta, ropeScaling: scaling } = config
  const half = rotaryHalf(config)
  const plain = Float32Array.from({ length: half }, (_, i) => 1 / Math.fround(ropeTheta ** Math.fround(i / half)))
  switch (scaling.type) {
    case 'default':
      return plain
    case 'linear':
      return plain.map((f) => f / scaling.factor)
    case 'llama3': {
      const { factor, lowFreqFactor: low, highFreqFactor: high, originalMaxPositionEmbeddings: original } = scaling
      return plain.map((f) => {
        const wavelength = (2 * Math.PI) / f
        if (wavelength < original / high) return f
        if (wavelength > original / low) return f / factor
        const smooth = (original / wavelength - low) / (high - low)
        return ((1 - smooth) * f) / factor + smooth * f
      })
    }
  }
}

/** Cosines and sines of position times frequency, grown as positions are asked for. */
export class RopeTable {
  readonly #frequencies: Float32Array
  #cos = new Float32Array(0)
  #sin = new Float32Array(0)
  #positions = 0

  constructor(config: RopeConfig) {
    this.#frequencies = inverseFrequencies(config)
  }

  /** Rotary pairs of a head. */
  get half(): number {
    return this.#frequencies.length
  }

  /** Writes the rows of `count` positions from `first` into `cos` and `sin` [.., rotaryHalf] at element `offset`. */
  fill(cos: Float32Array, sin: Float32Array, offset: number, first: number, count: number): void {
    this.#grow(first + count)
    const half = this.#frequencies.length
    cos.set(this.#cos.subarray(first * half, (first + count) * half), offset)
    sin.set(this.#sin.subarray(first * half, (first + count) * half), offset)
  }

  #grow(positions: number): void {
    if (positions <= this.#positions) return
    const half = this.#frequencies.length
    const total = Math.max(positions, 2 * this.#positions, 256)
    const [cos, sin] = [new Float32Array(total * half), new Float32Array(total * half)]
    cos.set(this.#cos)
    sin.set(this.#sin)
    for (let position = this.#positions; position < total; position++) {
      for (let i = 0; i < half; i++) {
        // The angle is rounded to float32 first: that is what the reference feeds to cos and sin.
        const angle = Math.fround(position * this.#frequencies[i]!)
        cos[position * half + i] = Math.cos(angle)
        sin[position * half + i] = Math.sin(angle)
      }
    }
    ;[this.#cos, this.#sin, this.#positions] = [cos, sin, total]
  }
}
