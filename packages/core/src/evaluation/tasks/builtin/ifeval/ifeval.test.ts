/**
 * Against verdicts that lm_eval 0.4.13 gave, recorded by
 *
 *     .cache/python/ifeval/bin/python packages/parscale/src/evaluate/testing/ifeval_peer.py 24 19 fixtures/evaluation/languages.json > fixtures/evaluation/ifeval.jsonl
 *
 * Many more of them: packages/parscale/src/evaluate/ifeval.nightly.test.ts.
 */
import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { judgeInstructions } from './index.ts'
import { instructions } from './instructions.ts'
import { countSentences } from './sentences.ts'
import { disagreements, type PeerCase } from './testing/agreement.ts'

const recorded = readFileSync(new URL('../../../../../../../fixtures/evaluation/ifeval.jsonl', import.meta.url), 'utf8')
  .trim()
  .split('\n')
  .map((line) => JSON.parse(line) as PeerCase)

const judged = (id: string, kwargs: object, text: string) =>
  judgeInstructions({ instruction_id_list: [id], kwargs: [kwargs] }, text)

/** Of 24. The one: NLTK sees no sentence begin at "Inc. As", here a preposition in a capital begins one. */
const differing: Readonly<Record<string, number>> = { 'length_constraints:number_sentences': 1 }

describe('verdicts of lm_eval', () => {
  it.each(Object.keys(instructions))('%s', (kind) => {
    const cases = recorded.filter((each) => each.kind === kind)
    expect(cases.length).toBe(24)
    const differ = disagreements(cases)
    expect(differ.length, JSON.stringify(differ)).toBe(differing[kind] ?? 0)
  })
})

it('judges a prompt by all of its instructions', () => {
  const doc = {
    instruction_id_list: ['punctuation:no_comma', 'detectable_format:title', 'startend:quotation'],
    kwargs: [{}, {}, {}],
  }
  expect(judgeInstructions(doc, '"<<All>> of it"')).toEqual({
    prompt_level_strict_acc: 1,
    inst_level_strict_acc: [1, 1, 1],
    prompt_level_loose_acc: 1,
    inst_level_loose_acc: [1, 1, 1],
  })
  expect(judgeInstructions(doc, 'Sure, here it is:\n"<<All>> of it"')).toEqual({
    prompt_level_strict_acc: 0,
    inst_level_strict_acc: [0, 1, 0],
    prompt_level_loose_acc: 1,
    inst_level_loose_acc: [1, 1, 1],
  })
})

it.each([
  ['Dr. J. R. Smith met Prof. Jones of Acme Inc. on Jan. 3 at 5 p.m. in St. Paul.', 1],
  ['She works for Acme Inc. He does not. It closes at 5 p.m. The shop, that is.', 4],
  ['Pens, paper, etc. are sold, e.g. blue ones, i.e. those. Is it so? Yes!', 3],
  ['He chose plan B. The rest is known... Or is it?', 3],
  ['"Is it?" he asked. "It is."', 3],
  ['It weighs 3.5 lbs. more', 1],
  ['  ', 0],
])('finds the sentences of %s', (text, count) => {
  expect(countSentences(text)).toBe(count)
})

it('counts what the data set asks for where the harness draws a letter', () => {
  const fields = { letter: '#', let_frequency: 4, let_relation: 'at least' }
  expect(judged('keywords:letter_frequency', fields, '## a ##').inst_level_strict_acc).toEqual([1])
  expect(judged('keywords:letter_frequency', fields, '## a #').inst_level_strict_acc).toEqual([0])
})

it.each([
  ['length_constraints:number_words', { relation: 'at least' }, 'num_words: expected a number'],
  ['length_constraints:number_words', { relation: 'more than', num_words: 3 }, '"less than" or "at least", got "more than"'],
  ['keywords:existence', { keywords: 'a' }, 'keywords: expected a list of texts'],
  ['keywords:frequency', { keyword: '(', frequency: 1, relation: 'at least' }, '"(" is no pattern'],
  ['language:response_language', { language: 'xx' }, 'language: "xx" is none of ar,'],
  ['keywords:all', {}, 'there is no instruction keywords:all'],
])('refuses %s with %o', (id, fields, message) => {
  expect(() => judged(id, fields, 'text')).toThrow(message)
})
