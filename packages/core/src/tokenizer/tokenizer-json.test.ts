/** What a tokenizer.json may get wrong, and the parts that are refused by name. */
import { expect, it } from 'vitest'
import { isParscaleError } from '../errors.ts'
import { readFixture } from './testing/fixtures.ts'
import { createTokenizer } from './tokenizer.ts'

const good = readFixture('gpt2.tokenizer.json') as Record<string, unknown> & { model: Record<string, unknown> }
const template = { type: 'TemplateProcessing', single: [{ SpecialToken: { id: '<s>', type_id: 0 } }], special_tokens: {} }
const token = { id: 1, content: 'x', special: true, normalized: false }

it.each<[string, unknown, string, RegExp]>([
  ['no file', undefined, 'checkpoint', /there is no tokenizer; .* needs tokenizer\.json/],
  ['no object', 'text', 'checkpoint', /dir: the file: .*expected a Hugging Face tokenizer\.json/],
  ['no model', { ...good, model: undefined }, 'checkpoint', /dir: model: /],
  [
    'another model',
    { ...good, model: { type: 'WordPiece' } },
    'unsupported',
    /tokenizer model "WordPiece" is not supported; supported is BPE/,
  ],
  ['no vocabulary', { ...good, model: { ...good.model, vocab: [] } }, 'checkpoint', /model\.vocab should be an object/],
  [
    'an id that is no number',
    { ...good, model: { ...good.model, vocab: { a: 'b' } } },
    'checkpoint',
    /id of token "a" should be an integer/,
  ],
  [
    'an id that is huge',
    { ...good, model: { ...good.model, vocab: { a: 2 ** 31 } } },
    'checkpoint',
    /id of token "a" .* got 2147483648/,
  ],
  [
    'merges that are none',
    { ...good, model: { ...good.model, merges: ['ab'] } },
    'checkpoint',
    /model\.merges should be a list of pairs/,
  ],
  [
    'a word suffix',
    { ...good, model: { ...good.model, end_of_word_suffix: '</w>' } },
    'unsupported',
    /end_of_word_suffix "<\/w>"/,
  ],
  ['an added token without id', { ...good, added_tokens: [{ content: 'a' }] }, 'checkpoint', /added_tokens\.0\.id/],
  [
    'an added token that is very long',
    { ...good, added_tokens: [{ ...token, content: 'x'.repeat(2000) }] },
    'unsupported',
    /added token "x+…" has 2000 characters; supported are up to 1024/,
  ],
  [
    'two added tokens that normalizing makes one',
    {
      ...good,
      normalizer: { type: 'Lowercase' },
      added_tokens: ['X', 'x'].map((content, i) => ({ id: 900 + i, content, special: false, normalized: true })),
    },
    'checkpoint',
    /added token "[Xx]" is there twice once it is normalized/,
  ],
  [
    'another normalizer',
    { ...good, normalizer: { type: 'BertNormalizer' } },
    'unsupported',
    /normalizer "BertNormalizer" is not supported; supported are/,
  ],
  [
    'another pre-tokenizer',
    { ...good, pre_tokenizer: { type: 'toString' } },
    'unsupported',
    /pre_tokenizer "toString" is not supported/,
  ],
  [
    'another kind of split',
    { ...good, pre_tokenizer: { type: 'Split', pattern: { String: 'a' }, behavior: 'Shuffled' } },
    'unsupported',
    /pre_tokenizer "Split" with behavior "Shuffled"/,
  ],
  [
    'a pattern that is none',
    { ...good, pre_tokenizer: { type: 'Split', pattern: { Regex: '(' }, behavior: 'Isolated' } },
    'checkpoint',
    /the regular expression "\(" cannot be read/,
  ],
  [
    'another post-processor',
    { ...good, post_processor: { type: 'OtherProcessing' } },
    'unsupported',
    /post_processor "OtherProcessing"/,
  ],
  [
    'a post-processor without its tokens',
    { ...good, post_processor: { type: 'BertProcessing' } },
    'checkpoint',
    /post_processor "BertProcessing" needs cls and sep/,
  ],
  [
    'a template with the text twice',
    { ...good, post_processor: { type: 'TemplateProcessing', single: [{ Sequence: { id: 'A' } }, { Sequence: { id: 'A' } }] } },
    'unsupported',
    /a template with the text 2 times/,
  ],
  ['a template without ids', { ...good, post_processor: template }, 'checkpoint', /post_processor names <s>/],
  [
    'another decoder',
    { ...good, decoder: { type: 'WordPiece' } },
    'unsupported',
    /decoder "WordPiece" is not supported; supported are/,
  ],
  ['no decoder', { ...good, decoder: null }, 'unsupported', /decoder "null"/],
])('%s', (_, tokenizerJson, kind, message) => {
  const error = (() => {
    try {
      return createTokenizer({ tokenizerJson }, 'dir')
    } catch (thrown) {
      return thrown
    }
  })()
  expect(isParscaleError(error) && error.kind).toBe(kind)
  expect((error as Error).message).toMatch(message)
})
