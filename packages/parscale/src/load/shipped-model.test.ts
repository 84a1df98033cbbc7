/** The model that ships: what is in its folder, and that it has learned English. Its card is checked in shipped-model.real.test.ts. */
import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { scoreIds } from '@parscale/core/internal/evaluation'
import type { TextModel } from '@parscale/core/internal/generation'
import { backboneDigest, backboneDigestKey } from '@parscale/core/internal/node'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { resolveModel } from './find-model.ts'
import { loadTextModel } from './load.ts'
import { openModel } from './open-model.ts'

/** Grover Cleveland, 1885: an inaugural address, so none of the addresses that it was trained on. */
const prose = `In the presence of this vast assemblage of my countrymen I am about to supplement and seal by the oath which I shall \
take the manifestation of the will of a great and free people. In the exercise of their power and right of self-government they have \
committed to one of their fellow-citizens a supreme and sacred trust, and he here consecrates himself to their service.`

const sizes = [1, 2, 4, 8]

let text: TextModel
beforeAll(async () => {
  text = await loadTextModel(undefined, { threads: 1 })
})
afterAll(() => text.dispose())

it('is small enough to travel with the package', async () => {
  const folder = await resolveModel(undefined)
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile())
  const bytes = files.reduce((sum, { parentPath, name }) => sum + statSync(join(parentPath, name)).size, 0)
  expect(bytes).toBeLessThan(8e6)
})

it('is one backbone, stored once, with sets of streams that were trained on it', async () => {
  const open = await openModel(undefined)
  const digest = await backboneDigest(open.backbone)
  expect(open.streamSets.map(({ config }) => config.parscale.n)).toEqual([2, 4, 8])
  for (const { configJson, tensors } of open.streamSets) {
    expect(configJson[backboneDigestKey]).toBe(digest)
    expect([...tensors.keys()].filter((name) => !/lora_[AB]|stream_|norm|aggregate/.test(name))).toEqual([])
  }
  expect(await open.backbone.readText('README.md')).toContain(digest)
  await open.close()
})

it('has streams that take turns: others lead in other kinds of text', async () => {
  const leaders = async (prompt: string) => {
    const { tokens } = await text.generate(prompt, { p: 8, maxTokens: 24, temperature: 0 })
    return new Set(tokens.map(({ streamWeights }) => streamWeights!.indexOf(Math.max(...streamWeights!))))
  }
  const [president, scripture] = [
    await leaders('The people of the United States'),
    await leaders('And the LORD spake unto Moses, saying,'),
  ]
  expect([...president].filter((stream) => scripture.has(stream))).toEqual([])
})

describe.each(sizes)('with P = %i', (p) => {
  it('finds prose probable', async () => {
    const { loss } = await scoreIds(text.engine, text.tokenizer.encode(prose), { p })
    // Knowing nothing costs ln 1024 = 6.93 nats a token, knowing how frequent tokens are about 6.
    expect(loss).toBeLessThan(4.5)
  })

  it('writes words', async () => {
    const { text: written } = await text.generate('The people of the United States', { p, maxTokens: 40, temperature: 0 })
    expect(written).toMatch(/^[\p{L}\d\s.,;:'"$()-]+$/u)
    const words = written.match(/\p{L}+/gu) ?? []
    expect(words.length).toBeGreaterThan(15)
    const common = words.filter((word) => /^(the|of|to|and|in|a|that|have|has|be|been|is|are|was|which|it|for|by)$/i.test(word))
    expect(common.length / words.length).toBeGreaterThan(0.25)
  })
})
