/**
 * Keys and values in fewer bits, against ONNX Runtime's over numbers that are rounded in the same way. A last bit that differs in one layer
 * rounds some of the next layer's otherwise, so what is asked is that engines differ by less than the rounding itself changes.
 * (test/kernels.cc holds attention alone against double precision.)
 */
import { expect, it } from 'vitest'
import { referenceFixtures } from '../../core/src/generation/testing/reference-contract.ts'
import { type LoadEngine, loadEngine as loadReference, maxDifference, readFixture } from '../../core/src/testing/fixtures.ts'
import { loadEngine } from './support/load-engine.ts'
import { refusalOf } from './support/refusal.ts'

type Kv = 'f32' | 'f16' | 'int8'

/** Logits of a prompt and what follows it, cut in two. */
async function logitsOf(load: LoadEngine<{ kv?: Kv }>, name: string, kv: Kv): Promise<number[]> {
  const { folder, expected } = await readFixture(name)
  const engine = await load(folder, { kv })
  const ids = [...expected.input_ids, ...expected.generated_ids]
  const sequence = engine.open()
  const parts = [ids.slice(0, 5), ids.slice(5)]
  const logits: number[] = []
  for (const part of parts) logits.push(...(await engine.step([{ sequence, ids: part, want: 'all' }]))[0]!.logits)
  await engine.model.dispose()
  return logits
}

it.each(referenceFixtures.filter((name) => !refusalOf(name)))('%s', async (name) => {
  const exact = await logitsOf(loadEngine, name, 'f32')
  for (const kv of ['f16', 'int8'] as const) {
    const [ours, reference] = [await logitsOf(loadEngine, name, kv), await logitsOf(loadReference, name, kv)]
    const rounding = maxDifference(reference, exact)
    expect(rounding).toBeGreaterThan(1e-5)
    expect(maxDifference(ours, reference), kv).toBeLessThan(rounding / 2)
  }
})
