import { describe, expect, it } from 'vitest'
import { GraphBuilder } from '../../graph/index.ts'
import { peakBytes } from './step-cost.ts'

describe('peakBytes', () => {
  it('counts what is alive at the worst moment: views and values written over for nothing, inputs and outputs never', () => {
    const g = new GraphBuilder('chain')
    const x = g.input('x', 'float32', [4, 256])
    const wide = g.matMul(x, g.input('w', 'float32', [256, 1024])) // 16 KiB
    const root = g.sqrt(g.reshape(wide, [1024, 4])) // in place
    const sum = g.reduceSum(root, [1]) // 4 KiB, while root is still there
    g.output(g.neg(sum), 'y')
    expect(peakBytes(g.build())).toBe((16 + 4) * 1024)
  })

  it('keeps a value until its last reader', () => {
    const g = new GraphBuilder('kept')
    const a = g.sqrt(g.input('x', 'float32', [256])) // 1 KiB
    const b = g.sqrt(a) // a is read again: 2 KiB
    const c = g.concat([b, b], 0) // 2 KiB, beside a and b
    g.output(g.add(g.reduceSum(c, [0]), a), 'y')
    expect(peakBytes(g.build())).toBe(4 * 1024)
  })
})
