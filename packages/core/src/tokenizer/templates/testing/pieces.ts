/** What random templates are put together from, and the variables that they are given. */
import type { SmallRandom as Random } from '../../../testing/small-random.ts'

/** Pieces of templates, with ` ; ` between them. */
const pieces = (written: string): string[] =>
  written
    .split(' ;')
    .map((piece) => piece.trim())
    .filter((piece) => piece !== '')

export type Kind = 'text' | 'number' | 'list' | 'dict' | 'bool' | 'any'

/** Variables that templates are given, by what they hold. Texts and lists of `generatedVariables`. */
export const names: Readonly<Record<Kind, readonly string[]>> = {
  text: ['s', 'u', 'name', 'messages[0].content', 'messages[-1]["role"]', 'bos_token'],
  number: ['n', 'x', 'zero', 'big', 'neg'],
  list: ['l', 'nested', 'texts', 'messages', 'range(3)', 'range(5, 0, -2)', 'd.keys()', 'd.items()', 'd.values()', 'empty'],
  dict: ['d', 'messages[0]', 'mixed', '{}'],
  bool: ['t', 'f', 'true', 'false'],
  any: [
    'none',
    'missing',
    's',
    'n',
    'l',
    'd',
    't',
    'd.missing',
    'l[9]',
    'messages',
    'x',
    'ns.a',
    'ns.c',
    'loop.index',
    'loop',
    'v',
    'k',
  ],
}

export const generatedVariables = (random: Random): Record<string, unknown> => ({
  messages: [
    { role: 'user', content: random.pick(['hi there', '👍é👍', ' a  b\tc ', 'ΑΣΣ ß', '']) },
    { role: 'assistant', content: random.pick(['<b>Hello</b> & "bye"', 'line one\nline two\r\nthree', 'x']), n: null },
  ],
  s: random.pick([
    'Hello World',
    'the  quick-brown fox',
    '  pad ',
    'a,b,,c',
    '{0} {name!r:>5} {}',
    '%s and %d',
    '12',
    '-3.5',
    'É𝒳y',
    "it's",
    'aXbXc',
  ]),
  u: random.pick(['👩‍👩‍👧', 'ǆabc ŉ', 'שלום', 'e\u0301', '\u00a0x\u2028y', 'İstanbul', '١٢٣', '²', '\x1f', '1_000', '']),
  name: random.pick(['Ann', 'bob', 'Émile']),
  n: random.pick([0, 1, 2, 3, 7, 255, -4]),
  x: random.pick([0.5, 2.5, -1.25, 3.25, 1e16, 1e-7, 123456.789]),
  zero: 0,
  neg: -2,
  big: random.pick([123456789012, 9007199254740991]),
  l: random.pick<unknown>([
    [3, 1, 2],
    [1, 2.5, true],
    ['b', 'a', 'C'],
    [],
    [null, 1],
    [
      [1, 'x'],
      [2, 'y'],
    ],
  ]),
  nested: [
    [1, [2, 3]],
    ['a', ['b', 'c']],
  ],
  texts: random.pick([['b', 'A', 'c', 'a'], ['x'], ['é', 'z', '👍'], []]),
  d: random.pick<unknown>([{ a: 1, b: 'two', c: null }, { z: [1], items: 'own', a: { deep: true } }, {}]),
  mixed: { 'key one': 1.5, B: false, a: [] },
  empty: [],
  t: true,
  f: false,
})

export const literals: Readonly<Record<Kind, readonly string[]>> = {
  text: ["'a'", '"b c"', "''", "'x\\n\\ty'", "'\\u00e9\\x41'", "'%s-%s'", "'{}{}'", "'A' 'b'", "'👍'", "'Äö'", "' '", "','"],
  number: ['0', '1', '2', '-1', '1.0', '2.5', '1e3', '10_0', '0x1f', '0b11', '3', '100'],
  list: [
    '[1, 2, 3]',
    "['b', 'a']",
    '[]',
    '(1, 2)',
    '(1,)',
    "[('a', 1), ('b', 2)]",
    '[1.0, true, none]',
    "[{'a': 1}, {'a': 2, 'b': 'x'}]",
  ],
  dict: ["{'a': 1, 'b': 2}", "{'x': 'y', 1: 2}", '{}', "{'A': [1], 'b': none}"],
  bool: ['true', 'false', 'True', 'False'],
  any: ['none', 'None', "'a'", '1', '[]', '{}', '2.0'],
}

const textFilters = pieces(`
  upper ; lower ; title ; capitalize ; trim ; trim('a ') ; string ; reverse ; escape ; e ; safe ; forceescape ;
  center(12) ; urlencode ; indent ; indent(2, true) ; indent('> ', first=true, blank=true) ; truncate(5) ;
  truncate(6, true, '~', 0) ; replace('a', 'b') ; replace('', '-') ; replace('l', 'L', 1) ; wordcount ; length ; list ;
  first ; last ; int ; float ; default('d') ; d('d', true) ; tojson ; join ; join('.') ; count ; int(7) ; int(base=16) ;
  float(1.5) ; unique | list ; batch(2) | list ; format(1, 2) ; attr('upper') ; filesizeformat ;
  select('in', 'abc') | list ; wordwrap(5) ; striptags ; map('upper') | list ; sort | list ; indent(width=1) ; random ;
  pprint ; xmlattr ; abs ; center(width=3) ; urlize ; dictsort`)
const numberFilters = pieces(`
  abs ; int ; float ; round ; round(1) ; round(1, 'floor') ; round(method='ceil') ; string ; tojson ; filesizeformat ;
  filesizeformat(true) ; round(-1) ; default(3) ; e ; upper ; length ; urlencode ; center(6) ; trim ; list ;
  round(2) | string ; safe ; first ; title ; max`)
const listFilters = pieces(`
  length ; first ; last ; list ; sort ; sort(reverse=true) ; sort(case_sensitive=true) ; unique | list ; join ;
  join(', ') ; reverse | list ; tojson ; sum ; sum(start=1) ; min ; max ; batch(2) | list ; batch(2, 'x') | list ;
  slice(2) | list ; slice(3, 'z') | list ; string ; map('string') | list ; map('upper') | list ;
  map(attribute='a') | list ; map(attribute='0') | list ; map(attribute='a', default='-') | list ; select('odd') | list ;
  select | list ; reject | list ; select('string') | list ; rejectattr('a') | list ; selectattr('a', 'defined') | list ;
  selectattr('role', 'equalto', 'user') | list ; groupby('a') ; groupby('role') | list ; join('-', attribute='role') ;
  tojson(indent=2) ; tojson(separators=(',', ':')) ; map | list ; sort(attribute='role') ; sort(attribute='0') ; count ;
  items ; max(attribute=1) ; map('join', '+') | list ; reject('none') | list ; map('default', 'q') | list ; e ; upper ;
  default([1]) ; dictsort ; attr('count') ; map ; select ; map('nope') | list`)
const dictFilters = pieces(String.raw`
  tojson ; length ; list ; items | list ; dictsort ; dictsort(by='value') ; dictsort(reverse=true) ; string ; first ;
  attr('items') ; xmlattr ; urlencode ; tojson(indent=4) ; tojson(sort_keys=true) ; tojson(ensure_ascii=true) ;
  tojson(indent='\t') ; join ; max ; sort ; unique | list ; e ; default({}) ; last ; reverse | list`)
export const filters: Readonly<Record<Kind, readonly string[]>> = {
  text: textFilters,
  number: numberFilters,
  list: listFilters,
  dict: dictFilters,
  bool: ['string', 'int', 'tojson', 'float', 'upper', "default('x')", "default('x', true)", 'e', 'abs', 'round'],
  any: [
    'string',
    'tojson',
    "default('?')",
    'length',
    'list',
    'e',
    'upper',
    'trim',
    'first',
    'int',
    'float',
    'join',
    'items',
    'safe',
    'attr("a")',
    'sum',
    'max',
    'unique',
  ],
}

const textMethods = pieces(String.raw`
  upper() ; lower() ; title() ; capitalize() ; swapcase() ; strip() ; lstrip(' H') ; rstrip('d\n') ; split() ;
  split(',') ; split('b', 1) ; rsplit(None, 1) ; rsplit('X', 1) ; split(maxsplit=1) ; replace('a', 'é') ;
  replace('l', '', 1) ; startswith('H') ; endswith(('d', 'x')) ; find('o') ; rfind('o', 2) ; index('a') ; count('l') ;
  partition(' ') ; rpartition(',') ; splitlines() ; splitlines(true) ; isdigit() ; isalpha() ; isupper() ; islower() ;
  istitle() ; isspace() ; isalnum() ; isnumeric() ; isdecimal() ; isascii() ; isidentifier() ; isprintable() ;
  center(9, '*') ; ljust(8) ; rjust(8, '.') ; zfill(6) ; expandtabs(4) ; removeprefix('He') ; removesuffix('ld') ;
  join(['x', 'y']) ; join(texts) ; format(1, name=2) ; format(s, n, name=name) ; encode() ; casefold() ;
  format_map({'name': 1}) ; startswith('a', 1) ; join('abc') ; nope()`)
export const methods: Readonly<Record<Kind, readonly string[]>> = {
  text: textMethods,
  number: ['real', 'bit_length()', 'is_integer()', 'denominator', 'imag', 'conjugate()', 'nope'],
  list: ['index(1)', 'count(1)', 'append(1)', 'copy()', 'pop()', '0', '1', 'nope', 'insert(0, 1)'],
  dict: [
    'items()',
    'keys()',
    'values()',
    "get('a')",
    "get('q', 'w')",
    'a',
    'b',
    'items',
    'update({})',
    "pop('a')",
    'copy()',
    'items() | list',
    'keys() | list',
    'z',
    '_a',
    '__class__',
  ],
  bool: ['real', 'numerator'],
  any: ['a', 'b', 'items', 'role', 'name'],
}

export const tests = pieces(`
  defined ; undefined ; none ; string ; number ; integer ; float ; boolean ; mapping ; sequence ; iterable ; callable ;
  true ; false ; odd ; even ; divisibleby 2 ; divisibleby(3) ; lower ; upper ; in 'abc' ; in l ; eq 1 ; == 1 ;
  equalto 'a' ; ne 2 ; gt 1 ; lt(3) ; ge 2 ; le 1 ; sameas none ; sameas true ; escaped ; filter ; test ; not none ;
  not defined ; not string ; greaterthan(0) ; lessthan 5 ; nope`)

export const formats = pieces(`
  '%d' % n ; '%5.2f' % x ; '%-6s|' % s ; '%x' % n ; '%s %s' % (s, n) ; '%(a)s' % d ; '%r' % s ; '%05d' % neg ; '%+d' % n ;
  '%e' % x ; '%g' % x ; '%%' % () ; '%c' % 65 ; '%.3s' % s ; '%*d' % (5, n) ; '%s' % l ; '%s' % [d] ; '%i' % x ;
  '%o' % n ; '%#x' % n ; '%G' % x ; '%s' % missing ; '%s' % none ; '%a' % u ; '%.0f' % x ; '% d' % n ; '%s' % () ;
  'a' % n`)
export const fields = pieces(`
  '{:>8}'.format(s) ; '{:08.3f}'.format(x) ; '{:,}'.format(big) ; '{:_}'.format(big) ;
  '{0[a]} {1.role}'.format(d, messages[0]) ; '{!r}'.format(s) ; '{:x}'.format(n) ; '{:^10}'.format(name) ;
  '{:+}'.format(n) ; '{:.2%}'.format(x) ; '{:e}'.format(x) ; '{:*<6}'.format(n) ; '{:{}}'.format(s, 8) ; '{{}}'.format() ;
  '{:g}'.format(x) ; '{a}'.format(**d) ; '{:,.2f}'.format(x) ; '{:010,}'.format(n) ; '{:b}'.format(n) ;
  '{:#o}'.format(n) ; '{:.3}'.format(x) ; '{:=+6}'.format(n) ; '{:s}'.format(s) ; '{:d}'.format(true) ;
  '{:5}'.format(none) ; '{}'.format(l) ; '{:.1}'.format(name) ; '{:n}'.format(n) ; '{:c}'.format(66) ;
  '{:>+8.1f}'.format(x)`)
export const codes = [...'aAbBcCdDeFgGhHIjklmMnpPrRsStTuUVwWxXyYzZ%']
  .map((code) => `%${code}`)
  .concat(['%-d', '%_H', '%-I', '%e %^b', '%5Y', '%#p', '%Q', '%f', '%-m', '%03d'])
