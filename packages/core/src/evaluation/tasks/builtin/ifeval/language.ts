/** Which language a text is in, by its trigrams. */
import { francAll } from 'franc'

/** Those that langdetect knows, which the harness asks, by ISO 639-1 as in the data set and by the 639-3 that franc gives. */
const languages: Readonly<Record<string, readonly string[]>> = {
  ar: ['arb'],
  bg: ['bul'],
  bn: ['ben'],
  cs: ['ces'],
  de: ['deu'],
  el: ['ell'],
  en: ['eng'],
  es: ['spa'],
  fa: ['pes', 'prs'],
  fi: ['fin'],
  fr: ['fra'],
  gu: ['guj'],
  he: ['heb'],
  hi: ['hin'],
  hr: ['hrv'],
  hu: ['hun'],
  id: ['ind'],
  it: ['ita'],
  ja: ['jpn'],
  kn: ['kan'],
  ko: ['kor'],
  ml: ['mal'],
  mr: ['mar'],
  ne: ['npi', 'nep'],
  nl: ['nld'],
  pa: ['pan'],
  pl: ['pol'],
  pt: ['por'],
  ro: ['ron'],
  ru: ['rus'],
  so: ['som'],
  sv: ['swe'],
  sw: ['swh'],
  ta: ['tam'],
  te: ['tel'],
  th: ['tha'],
  tl: ['tgl'],
  tr: ['tur'],
  uk: ['ukr'],
  ur: ['urd'],
  vi: ['vie'],
  'zh-cn': ['cmn'],
}

const byThreeLetters = new Map(Object.entries(languages).flatMap(([two, three]) => three.map((each) => [each, two] as const)))
const only = [...byThreeLetters.keys()]

export const knownLanguages: readonly string[] = Object.keys(languages)

/** @returns a code of ISO 639-1; undefined for a text of which nothing can be said, without letters or of fewer than ten characters */
export function detectLanguage(text: string): string | undefined {
  const [first] = francAll(text, { only, minLength: 1 })
  return first === undefined ? undefined : byThreeLetters.get(first[0])
}
