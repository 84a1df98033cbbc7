import { expect, test } from 'vitest'
import { parseFinalEvaluation, parseSavedRun, requireTrained } from './saved-run.ts'

const saved = {
  position: { step: 3, stage: 0, updates: 3, tokens: 96, losses: { count: 3, mean: 5.5, variance: 0.1 } },
  loop: { evaluatedAt: -1, trainingSeconds: 0.5 },
  data: { trainTokens: 100, backboneSha256: 'ab' },
}

test('what was saved comes back', () => {
  expect(parseSavedRun(JSON.parse(JSON.stringify(saved)), 'here')).toEqual(saved)
})

/** Every value of the state by its path. */
const leaves = (value: unknown, path: string[] = []): string[][] =>
  typeof value === 'object' && value !== null
    ? Object.entries(value).flatMap(([key, each]) => leaves(each, [...path, key]))
    : [path]

test.each(leaves(saved).map((path) => [path.join('.')]))('%s is checked', (path) => {
  const keys = path.split('.')
  const damaged = structuredClone(saved)
  const holder = keys.slice(0, -1).reduce<Record<string, unknown>>((at, key) => at[key] as Record<string, unknown>, damaged)
  holder[keys.at(-1)!] = null
  expect(() => parseSavedRun(damaged, 'state.json')).toThrow(`state.json is damaged: ${path}: `)
})

test.each([
  ['{"loss"', /evaluation.json is not valid JSON/],
  ['{"loss": 1, "tokens": 2, "nats": "many", "counts": []}', /evaluation.json is damaged: nats: /],
  ['{"loss": 1, "tokens": 2, "nats": [1, 1], "counts": [2]}', /2 nats, 1 counts and 1 documents/],
  ['{"loss": 1, "tokens": 2, "nats": [1, 1], "counts": [1, 1], "documents": [0]}', /2 nats, 2 counts and 1 documents/],
])('a final evaluation of %s', (text, message) => {
  expect(() => parseFinalEvaluation(text, 'evaluation.json')).toThrow(message)
})

test.each([
  [['a 2', 'b 3 4'], undefined],
  [['a 2'], 'step 3 has no b, which config.json of the run asks for; write'],
  [['a 2', 'b 4 3'], 'step 3 has b of shape [4,3], config.json of the run asks for [3,4]; write'],
  [['a 2', 'b 3 4', 'c 1'], 'step 3 has c of shape [1], of which config.json of the run knows nothing; write'],
])('a checkpoint with %j', (saved, message) => {
  const parameters = (texts: readonly string[]) =>
    texts.map((text) => ({ name: text[0]!, shape: text.split(' ').slice(1).map(Number) }))
  const check = () => requireTrained(parameters(saved), parameters(['a 2', 'b 3 4']), 'step 3')
  if (message === undefined) check()
  else expect(check).toThrow(message)
})
