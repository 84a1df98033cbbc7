/**
 * Against jinja2 as transformers sets it up: random renderings, equal to the last character or refused.
 * PARSCALE_RENDERINGS says how many (2,000), PARSCALE_SEED which (another one each time, printed).
 */
import { afterAll, beforeAll, expect, it } from 'vitest'
import { judge, renderHere, type Verdict } from './testing/compare.ts'
import { openTemplatePeer, type Rendering, type TemplatePeer } from './testing/peer.ts'
import { randomFrom } from './testing/random.ts'
import { generatedRendering, publishedRendering, publishedTemplates } from './testing/renderings.ts'

const count = Number(process.env.PARSCALE_RENDERINGS ?? 2000)
const seed = Number(process.env.PARSCALE_SEED ?? Date.now() % 2 ** 31)

let peer: TemplatePeer
beforeAll(() => {
  // Dates are written in local time, on both sides.
  process.env.TZ = 'UTC'
  peer = openTemplatePeer()
})
afterAll(() => peer.close())

it('renders what transformers renders, or refuses', { timeout: 3_600_000 }, async () => {
  const random = randomFrom(seed)
  const templates = publishedTemplates()
  const tally: Partial<Record<Verdict, number>> = {}
  const names: Record<string, number> = {}
  const different: (Rendering & { readonly here: unknown; readonly there: unknown })[] = []
  for (let i = 0; i < count; i++) {
    const rendering = i % 5 < 2 ? publishedRendering(random, templates) : generatedRendering(random)
    const there = await peer.render(rendering)
    const here = renderHere(rendering)
    const verdict = judge(here, there)
    tally[verdict] = (tally[verdict] ?? 0) + 1
    if (verdict === 'different') different.push({ ...rendering, here, there })
    if (here.kind === 'unsupported' || here.kind === 'limit') {
      const name = here.message.replace(/^chat template: /, '').replace(/[0-9]+ char/, 'N char')
      names[name] = (names[name] ?? 0) + 1
    }
  }
  console.log(`${count} renderings, ${templates.length} published templates, seed ${seed}:`, tally, names)
  expect(different.slice(0, 5)).toEqual([])
  // Refusals by name are few, or nothing would be tested.
  expect((tally['refused by name'] ?? 0) + (tally.stopped ?? 0)).toBeLessThan(count / 20)
  expect(tally.equal).toBeGreaterThan(count / 3)
})
