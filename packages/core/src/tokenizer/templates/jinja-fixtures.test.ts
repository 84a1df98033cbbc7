/** Recorded renderings of transformers: fixtures/templates/renderings.json, made by scripts/fixtures/make-template-fixtures.ts. */
import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { renderHere } from './testing/compare.ts'
import type { PeerAnswer, Rendering } from './testing/peer.ts'

interface Recorded {
  readonly versions: Readonly<Record<string, string>>
  readonly renderings: readonly (Rendering & { readonly name: string; readonly answer: PeerAnswer })[]
}

const file = new URL('../../../../../fixtures/templates/renderings.json', import.meta.url)
const { renderings, versions } = JSON.parse(readFileSync(file, 'utf8')) as Recorded

describe(`as transformers ${versions.transformers} with jinja2 ${versions.jinja2}`, () => {
  const { TZ } = process.env
  beforeAll(() => {
    process.env.TZ = 'UTC'
  })
  afterAll(() => {
    process.env.TZ = TZ
  })

  it.each(renderings.map((rendering, i) => ({ ...rendering, title: `${i}: ${rendering.name}` })))(
    '$title',
    ({ answer, ...rendering }) => {
      const here = renderHere(rendering)
      if ('text' in answer) expect(here).toEqual({ kind: 'text', text: answer.text })
      else expect(here.kind).toBe('refused')
    },
  )
})
