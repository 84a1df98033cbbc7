import { expect, test } from 'vitest'
import { type PublishedModel, publishedModels, suggestModels } from './published-models.ts'

function countBy(key: (model: PublishedModel) => string): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const model of publishedModels) counts[key(model)] = (counts[key(model)] ?? 0) + 1
  return counts
}

test('there are 67, no two alike, each with its P in the name', () => {
  expect(publishedModels).toHaveLength(67)
  expect(new Set(publishedModels.map(({ name }) => name)).size).toBe(67)
  for (const { name, p } of publishedModels) expect(name).toMatch(new RegExp(`-P${p}(-|$)`))
})

test('they fall into the families of the paper', () => {
  expect(countBy(({ purpose }) => purpose)).toEqual({
    base: 4,
    chat: 4,
    'Qwen2.5-3B, only streams trained': 3,
    'Qwen2.5-3B, all parameters trained on': 8,
    'scaling law': 48,
  })
  expect(countBy(({ p }) => `P${p}`)).toEqual({ P1: 16, P2: 17, P4: 17, P8: 17 })
  expect(countBy(({ data }) => data)).toMatchObject({ 'Stack-V2-Python': 31, Pile: 28 })
})

test('the names are spelled as on the hub', () => {
  const names = publishedModels.map(({ name }) => name)
  expect(names).toEqual(
    expect.arrayContaining([
      'ParScale/ParScale-1.8B-P8',
      'ParScale/ParScale-1.8B-P8-Inst',
      'ParScale/ParScale-Qwen-3B-P8-Python',
      'ParScale/ParScale-QwenInit-3B-P8-Python',
      'ParScale/ParScale-QwenInit-3B-P1-Pile',
      'ParScale/ParScale-0.7B-P1-Python',
      'ParScale/ParScale-4.7B-P4-Pile',
    ]),
  )
})

test('a slip of the pen finds its name, something else finds nothing', () => {
  expect(suggestModels('Parscale-1.8B-P8-inst')[0]).toBe('ParScale/ParScale-1.8B-P8-Inst')
  expect(suggestModels('ParScale/ParScale-3B-P8-Pyhton')[0]).toBe('ParScale/ParScale-3B-P8-Python')
  expect(suggestModels('meta-llama/Llama-3.2-1B')).toEqual([])
})
