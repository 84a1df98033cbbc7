/**
 * Against jinja2 as transformers sets it up: random renderings, equal to the last character or refused.
 * PARSCALE_RENDERINGS says how many (2,000), PARSCALE_SEED which (printed).
 */
import { afterAll, beforeAll, expect, it } from 'vitest'
import { testSeed as seed } from '../../testing/seed.ts'
import { randomFrom } from '../../testing/small-random.ts'
import { judge, renderHere, type Verdict } from './testing/compare.ts'
import { openTemplatePeer, type Rendering, type TemplatePeer } from './testing/peer.ts'
import { generatedRendering, publishedRenderings, publishedTemplates } from './testing/renderings.ts'

const count = Number(process.env.PARSCALE_RENDERINGS ?? 2000)

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
  /** Ours have ended on these too, or we would not be here. */
  const hung: string[] = []
  for (let done = 0; done < count; done += 50) {
    // Both sides work at once: the reference has its requests while we render.
    const published = Array.from({ length: 5 }, () => publishedRenderings(random, templates, 4)).flat()
    const renderings = [...published, ...Array.from({ length: 30 }, () => generatedRendering(random))]
    const answers = peer.render(renderings)
    const ours = renderings.map(renderHere)
    for (const [i, there] of (await answers).entries()) {
      const here = ours[i]!
      if (!there) {
        hung.push(renderings[i]!.template)
        continue
      }
      const verdict = judge(here, there)
      tally[verdict] = (tally[verdict] ?? 0) + 1
      if (verdict === 'different') different.push({ ...renderings[i]!, here, there })
      if (here.kind !== 'unsupported' && here.kind !== 'limit') continue
      const name = here.message.replace(/^chat template: /, '').replace(/[0-9]+ char/, 'N char')
      names[name] = (names[name] ?? 0) + 1
    }
  }
  console.log(
    `${count} renderings, ${templates.length} published templates, seed ${seed}:`,
    tally,
    names,
    'the peer hangs on',
    hung,
  )
  expect(different.slice(0, 5)).toEqual([])
  // Refusals by name are few, or nothing would be tested.
  expect(tally['refused by name'] ?? 0).toBeLessThan(count / 20)
  // Nothing here is an attack.
  expect(tally.stopped ?? 0).toBe(0)
  expect(tally.equal).toBeGreaterThan(count / 3)
})
