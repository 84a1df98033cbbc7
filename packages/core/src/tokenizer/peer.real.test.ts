/**
 * Against PyPI's tokenizers: random texts through random tokenizers of every kind, encoded, decoded and streamed.
 *
 *     PARSCALE_CASES=24000 npx vitest run --config vitest.real.config.ts packages/core/src/tokenizer/peer.real.test.ts
 */
import { afterAll, expect, it } from 'vitest'
import { pythonEnvironment } from '../../../../scripts/python-env.mjs'
import { testSeed as seed } from '../testing/seed.ts'
import { randomFrom } from '../testing/small-random.ts'
import { parseNormalizer } from './normalizer.ts'
import { isolate } from './pre-tokenizer.ts'
import { comparePattern, compareWithPeer, ends, openPeer, randomCase } from './testing/peer.ts'
import { patternText, randomPattern, tokenizerKinds } from './testing/random-tokenizers.ts'
import { recordedCases, recordedPatterns, recordText } from './testing/recorded.ts'

const cases = Number(process.env.PARSCALE_CASES ?? 2000)
const textsEach = 25
const patternTokenizer = randomCase(tokenizerKinds[0]!, randomFrom(1), 0).tokenizer
const peer = openPeer(pythonEnvironment('tokenizers'))
afterAll(() => peer.close())

it(`${cases} cases, PARSCALE_SEED=${seed}`, async () => {
  const differences: object[] = []
  const refused = new Map<string, number>()
  const count = { compared: 0, peerFailed: 0, peerHung: 0, refusedByUs: 0 }
  for (let i = 0; i * textsEach < cases; i++) {
    const kind = tokenizerKinds[i % tokenizerKinds.length]!
    const { tokenizer, texts } = randomCase(kind, randomFrom(seed + i), textsEach)
    const answers = await peer.answers(tokenizer, texts)
    if (!answers) {
      process.stderr.write(`the peer hangs: ${kind}, seed ${seed + i}\n`)
      count.peerHung += textsEach
      ends(tokenizer, texts)
      continue
    }
    if ('error' in answers) {
      count.peerFailed += textsEach
      continue
    }
    const found = compareWithPeer(answers)
    const failed = answers.answers.filter((each) => each.peer.error !== undefined).length
    count.compared += found.compared
    count.peerFailed += failed
    count.refusedByUs += textsEach - failed - found.compared
    for (const message of found.refused) refused.set(message, (refused.get(message) ?? 0) + 1)
    for (const difference of found.differences) differences.push({ kind, seed: seed + i, ...difference })
  }
  process.stderr.write(`seed ${seed}: ${JSON.stringify(count)}, ${differences.length} differ\n`)
  for (const [message, times] of refused) process.stderr.write(`refused ${times} times: ${message}\n`)
  expect(differences.slice(0, 5)).toEqual([])
  expect(count.compared).toBeGreaterThan(cases / 2)
})

it(`patterns, PARSCALE_SEED=${seed}`, async () => {
  const random = randomFrom(seed)
  const list = Array.from({ length: cases / 10 }, () => ({
    pattern: randomPattern(random),
    texts: Array.from({ length: 10 }, () => patternText(random)),
  }))
  const answers = await peer.patterns(list)
  const compared = list.map((each, i) => comparePattern(each, answers[i] ?? { error: 'hangs', words: [], replaced: [] }))
  for (const [i, { pattern }] of list.entries()) {
    if (answers[i]) continue
    process.stderr.write(`the peer hangs: ${JSON.stringify(pattern)}\n`)
    ends({ ...patternTokenizer, pre_tokenizer: isolate(pattern) }, list[i]!.texts)
  }
  expect(compared.flatMap((each) => each.differences).slice(0, 5)).toEqual([])
  const total = compared.reduce((sum, each) => sum + each.compared, 0)
  process.stderr.write(
    `seed ${seed}: ${total} texts cut by patterns, ${compared.filter((each) => each.refused.length).length} patterns refused\n`,
  )
  expect(total).toBeGreaterThan(cases / 2)
})

// `--update` records the answers anew.
it('answers what is recorded', async () => {
  const fixtures = '../../../../fixtures/tokenizer'
  const answers: unknown[] = []
  for (const { tokenizer, texts } of recordedCases) {
    const found = await peer.answers(tokenizer, texts)
    if (!found) throw new Error('the peer hangs')
    answers.push('error' in found ? found : found.answers.map((each) => each.peer))
  }
  await expect(recordText(answers)).toMatchFileSnapshot(`${fixtures}/peer-cases.json`)
  await expect(recordText(await peer.patterns(recordedPatterns))).toMatchFileSnapshot(`${fixtures}/peer-patterns.json`)
})

it('normalizes every character of Unicode as the peer does', async () => {
  const characters = Array.from({ length: 0x110000 }, (_, code) => code).filter(
    (code) => (code < 0xd800 || code > 0xdfff) && code !== 0x7c,
  )
  const text = characters.map((code) => String.fromCodePoint(code)).join('|')
  for (const type of ['NFC', 'NFD', 'NFKC', 'NFKD', 'Lowercase', 'StripAccents']) {
    const [reply] = await peer.normalized([{ normalizer: JSON.stringify({ type }), text }])
    const found = parseNormalizer({ type }, 'tokenizer.json').normalize(text).text
    const expected = reply!.text.split('|')
    const differing = found.split('|').flatMap((each, i) => (each === expected[i] ? [] : [characters[i]!.toString(16)]))
    expect(differing, type).toEqual([])
  }
})
