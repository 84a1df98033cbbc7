/**
 * IFEval's 25 instructions beside lm_eval's own checks, on responses made up near each, PARSCALE_CASES of all. And what those
 * checks ask of NLTK and langdetect, on English prose.
 */
import { execFileSync } from 'node:child_process'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import { documentFiles, readDocuments } from '@parscale/core/internal/node'
import { beforeAll, describe, expect, it } from 'vitest'
import { fetchText } from '../../../../scripts/fetch-text.mjs'
import { pythonEnvironment } from '../../../../scripts/python-env.mjs'
import { detectLanguage } from '../../../core/src/evaluation/tasks/builtin/ifeval/language.ts'
import { countSentences } from '../../../core/src/evaluation/tasks/builtin/ifeval/sentences.ts'
import {
  disagreements,
  leastAgreement,
  type PeerCase,
} from '../../../core/src/evaluation/tasks/builtin/ifeval/testing/agreement.ts'
import { testSeed as seed } from '../../../core/src/testing/seed.ts'

const kinds = 25
const perKind = Math.ceil(Number(process.env.PARSCALE_CASES ?? 5000) / kinds)
const path = (name: string) => fileURLToPath(new URL(name, import.meta.url))

/** What lm_eval says, a value for each line. */
function peer<T>(args: readonly string[], input = ''): T[] {
  const options = { input, encoding: 'utf8', maxBuffer: 2 ** 30 } as const
  return execFileSync(pythonEnvironment('ifeval'), [path('testing/ifeval_peer.py'), ...args], options)
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as T)
}

const percent = (share: number) => `${(100 * share).toFixed(2)} %`

describe(`on ${perKind} responses near each instruction, seed ${seed}`, () => {
  let cases: PeerCase[]
  beforeAll(() => {
    cases = peer([String(perKind), String(seed), path('../../../../fixtures/evaluation/languages.json')])
  }, 1_800_000)

  it('gives the verdicts of lm_eval', () => {
    const names = [...new Set(cases.map(({ kind }) => kind))]
    expect(names).toHaveLength(kinds)
    const below = names.flatMap((kind) => {
      const of = cases.filter((each) => each.kind === kind)
      const differ = disagreements(of)
      const agreement = 1 - differ.length / of.length
      if (agreement < 1) console.info(`${kind}: ${percent(agreement)} of ${of.length} equal`)
      return agreement < leastAgreement(kind) ? [{ kind, agreement, first: differ.slice(0, 3) }] : []
    })
    expect(below).toEqual([])
  })
})

describe('on English prose', () => {
  it.each(['text', 'books'] as const)(
    'finds as many sentences as NLTK, and the language of langdetect: %s',
    async (kind) => {
      const passages: string[] = []
      for await (const document of readDocuments(await documentFiles([`${fetchText(kind)}/**/*.txt`])))
        if ('text' in document) passages.push(...passagesOf(document.text))
      const some = passages.filter((_, i) => i % 5 === 0)
      const found = peer<[number, string]>(['texts'], some.map((passage) => `${JSON.stringify(passage)}\n`).join(''))
      expect(found).toHaveLength(some.length)
      const sameCount = some.filter((passage, i) => countSentences(passage) === found[i]![0]).length / some.length
      const sameLanguage = some.filter((passage, i) => detectLanguage(passage) === found[i]![1]).length / some.length
      console.info(
        `${kind}, ${some.length} passages: ${percent(sameCount)} same number of sentences, ${percent(sameLanguage)} same language`,
      )
      expect(sameCount).toBeGreaterThan(0.99)
      expect(sameLanguage).toBeGreaterThan(0.9)
    },
    1_800_000,
  )
})

/** Paragraphs; a speech without any in parts of about 800 characters. */
const passagesOf = (text: string): string[] =>
  text
    .split(/\n\s*\n/)
    .flatMap((paragraph) => (paragraph.length > 3000 ? paragraph.match(/.{800}\S*|.+$/gs)! : [paragraph]))
    .map((passage) => passage.trim())
    .filter((passage) => passage.length >= 80)
