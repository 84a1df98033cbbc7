/** What the peer answered to a few cases of each kind; `peer.real.test.ts` records it and checks that it still holds. */
import { randomFrom } from '../../testing/small-random.ts'
import { readFixture } from './fixtures.ts'
import { type PeerAnswer, randomCase } from './peer.ts'
import { patternText, randomPattern, tokenizerKinds } from './random-tokenizers.ts'

export const recordedCases = tokenizerKinds.flatMap((kind, i) =>
  [1, 2].map((round) => ({ name: `${kind}, ${round}`, ...randomCase(kind, randomFrom(1000 * round + i), 12) })),
)
export const readRecordedAnswers = () => readFixture('peer-cases.json') as readonly (readonly PeerAnswer[])[]

const random = randomFrom(7)
export const recordedPatterns = Array.from({ length: 300 }, () => ({
  pattern: randomPattern(random),
  texts: Array.from({ length: 6 }, () => patternText(random)),
}))
export interface PatternAnswer {
  readonly error?: string
  readonly words: readonly (readonly string[])[]
  readonly replaced: readonly string[]
}
export const readRecordedPatterns = () => readFixture('peer-patterns.json') as readonly PatternAnswer[]

/** JSON of ASCII only, a line for each answer. */
export const recordText = (answers: readonly unknown[]): string =>
  `[\n${answers.map((each) => JSON.stringify(each)).join(',\n')}\n]\n`.replace(
    /[\u007f-\uffff]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
