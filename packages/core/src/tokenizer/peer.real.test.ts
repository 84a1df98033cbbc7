/**
 * Against PyPI's tokenizers: random texts through random tokenizers of every kind, encoded, decoded and streamed.
 *
 *     PARSCALE_CASES=24000 npx vitest run --config vitest.real.config.ts packages/core/src/tokenizer/peer.real.test.ts
 */
import { afterAll, expect, it } from 'vitest'
import { pythonEnvironment } from '../../../../scripts/python-env.mjs'
import { compareWithPeer, openPeer, randomCase } from './testing/peer.ts'
import { randomFrom, tokenizerKinds } from './testing/random-tokenizers.ts'

const cases = Number(process.env.PARSCALE_CASES ?? 2000)
const seed = Number(process.env.PARSCALE_SEED ?? Date.now() % 2 ** 31)
const textsEach = 25
const peer = openPeer(pythonEnvironment('tokenizers'))
afterAll(() => peer.close())

it(`${cases} cases, PARSCALE_SEED=${seed}`, async () => {
  const differences: object[] = []
  const refused = new Map<string, number>()
  let compared = 0
  let refusedByPeer = 0
  for (let i = 0; i * textsEach < cases; i++) {
    const kind = tokenizerKinds[i % tokenizerKinds.length]!
    const { tokenizer, texts } = randomCase(kind, randomFrom(seed + i), textsEach)
    const answers = await peer.answers(tokenizer, texts)
    if ('error' in answers) {
      refusedByPeer++
      continue
    }
    const found = compareWithPeer(answers)
    compared += found.compared
    for (const message of found.refused) refused.set(message, (refused.get(message) ?? 0) + 1)
    for (const difference of found.differences) differences.push({ kind, seed: seed + i, ...difference })
  }
  process.stderr.write(`seed ${seed}: ${compared} compared, ${differences.length} differ, ${refusedByPeer} tokenizers refused by the peer\n`)
  for (const [message, times] of refused) process.stderr.write(`refused ${times} times: ${message}\n`)
  expect(differences.slice(0, 5)).toEqual([])
  expect(compared).toBeGreaterThan(cases / 2)
})
