/** Words as the Penn Treebank separates them (R. MacIntyre's sed script, 1995), with NLTK's additions: contractions are two words. */
import { spaces } from '../../python/text.ts'
import { sentences } from './sentences.ts'

const space = `[${spaces}]`

/** In their order. Quotes of both kinds, points that end a sentence, other punctuation, brackets, then endings with an apostrophe. */
const beforePadding: readonly (readonly [RegExp, string])[] = [
  [/([«“‘„]|`+)/gu, ' $1 '],
  [/^"/gu, '``'],
  [/(``)/gu, ' $1 '],
  [/([ ([{<])("|'{2})/gu, '$1 `` '],
  [/(?<![\p{L}\p{N}_])(')(?!(?:re|ve|ll|m|t|s|d|n)(?![\p{L}\p{N}_]))(?=[\p{L}\p{N}_])/giu, '$1 '],
  [new RegExp(`([^.])(\\.)([\\])}>"'»”’ ]*)${space}*$`, 'gu'), '$1 $2 $3 '],
  [/([:,])(\P{Nd})/gu, ' $1 $2'],
  [/([:,])(?=\n?$)/gu, ' $1 '],
  [/\.{2,}/gu, ' $& '],
  [/[;@#$%&]/gu, ' $& '],
  [/[\u2012-\u2015]/gu, ' $& '],
  [new RegExp(`([^.])(\\.)([\\])}>"']*)${space}*$`, 'gu'), '$1 $2$3 '],
  [/[?!]/gu, ' $& '],
  [/([^'])' /gu, "$1 ' "],
  [/[*]/gu, ' $& '],
  [/[\][(){}<>]/gu, ' $& '],
  [/--/gu, ' -- '],
]
const afterPadding: readonly (readonly [RegExp, string])[] = [
  [/([»”’])/gu, ' $1 '],
  [/''/gu, " '' "],
  [/"/gu, " '' "],
  [new RegExp(`${space}+`, 'gu'), ' '],
  [/([^' ])('[sS]|'[mM]|'[dD]|') /gu, '$1 $2 '],
  [/([^' ])('ll|'LL|'re|'RE|'ve|'VE|n't|N'T) /gu, '$1 $2 '],
  [/\b(can)(not)\b/giu, ' $1 $2 '],
  [/\b(d)('ye)\b/giu, ' $1 $2 '],
  [/\b(gim)(me)\b/giu, ' $1 $2 '],
  [/\b(gon)(na)\b/giu, ' $1 $2 '],
  [/\b(got)(ta)\b/giu, ' $1 $2 '],
  [/\b(lem)(me)\b/giu, ' $1 $2 '],
  [/\b(more)('n)\b/giu, ' $1 $2 '],
  [/\b(wan)(na)(?=\s)/giu, ' $1 $2 '],
  [/ ('t)(is)\b/giu, ' $1 $2 '],
  [/ ('t)(was)\b/giu, ' $1 $2 '],
]

export const treebankWords = (text: string): string[] => sentences(text).flatMap(wordsOfSentence)

function wordsOfSentence(sentence: string): string[] {
  const replaced = (text: string, rules: typeof beforePadding) => rules.reduce((left, [from, to]) => left.replace(from, to), text)
  const apart = replaced(` ${replaced(sentence, beforePadding)} `, afterPadding)
  return apart.split(new RegExp(`${space}+`, 'u')).filter((word) => word !== '')
}
