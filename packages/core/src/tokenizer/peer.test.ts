/** Against recorded answers of PyPI's tokenizers: every kind of tokenizer, added tokens of every kind, random patterns. */
import { describe, expect, it } from 'vitest'
import { comparePattern, compareWithPeer } from './testing/peer.ts'
import { readRecordedAnswers, readRecordedPatterns, recordedCases, recordedPatterns } from './testing/recorded.ts'

describe('tokenizers encode, decode and stream as the reference does', () => {
  const answers = readRecordedAnswers()
  it.each(recordedCases.map((each, i) => [each.name, i] as const))('%s', (_, i) => {
    const { tokenizer, texts } = recordedCases[i]!
    const recorded = { tokenizer, answers: texts.map((text, j) => ({ text, peer: answers[i]![j]! })) }
    const { differences, compared, refused } = compareWithPeer(recorded)
    expect(differences).toEqual([])
    expect(refused).toEqual([])
    expect(compared).toBeGreaterThan(texts.length / 2)
  })
})

it('patterns cut and replace as the reference does', () => {
  const answers = readRecordedPatterns()
  const compared = recordedPatterns.map((each, i) => comparePattern(each, answers[i]!))
  expect(compared.flatMap((each) => each.differences)).toEqual([])
  expect(compared.filter((each) => each.compared > 0).length).toBeGreaterThan(recordedPatterns.length / 2)
  const refused = compared.flatMap((each) => each.refused)
  for (const message of refused) expect(message).toMatch(/the regular expression ".*" uses .*, which is not supported$/)
})
