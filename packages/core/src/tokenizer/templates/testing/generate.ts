/** Random templates over the whole language: every statement, operator, filter, test and method, mostly well-typed. */
import type { Random } from './random.ts'

type Kind = 'text' | 'number' | 'list' | 'dict' | 'bool' | 'any'

/** Variables that templates are given, by what they hold. Texts and lists of `generatedVariables`. */
const names: Readonly<Record<Kind, readonly string[]>> = {
  text: ['s', 'u', 'name', 'messages[0].content', 'messages[-1]["role"]', 'bos_token'],
  number: ['n', 'x', 'zero', 'big', 'neg'],
  list: ['l', 'nested', 'texts', 'messages', 'range(3)', 'range(5, 0, -2)', 'd.keys()', 'd.items()', 'd.values()', 'empty'],
  dict: ['d', 'messages[0]', 'mixed', '{}'],
  bool: ['t', 'f', 'true', 'false'],
  any: ['none', 'missing', 's', 'n', 'l', 'd', 't', 'd.missing', 'l[9]', 'messages', 'x', 'ns.a', 'ns.c', 'loop.index', 'loop', 'v', 'k'],
}

export const generatedVariables = (random: Random): Record<string, unknown> => ({
  messages: [
    { role: 'user', content: random.pick(['hi there', '👍é👍', ' a  b\tc ', 'ΑΣΣ ß', '']) },
    { role: 'assistant', content: random.pick(['<b>Hello</b> & "bye"', 'line one\nline two\r\nthree', 'x']), n: null },
  ],
  s: random.pick(['Hello World', 'the  quick-brown fox', '  pad ', 'a,b,,c', '{0} {name!r:>5} {}', '%s and %d', '12', '-3.5', 'É𝒳y', "it's", 'aXbXc']),
  u: random.pick(['👩‍👩‍👧', 'ǆabc ŉ', 'שלום', 'e\u0301', '\u00a0x\u2028y', 'İstanbul', '١٢٣', '²', '\x1f', '1_000', '']),
  name: random.pick(['Ann', 'bob', 'Émile']),
  n: random.pick([0, 1, 2, 3, 7, 255, -4]),
  x: random.pick([0.5, 2.5, -1.25, 3.14159, 1e16, 1e-7, 123456.789]),
  zero: 0,
  neg: -2,
  big: random.pick([123456789012, 9007199254740991]),
  l: random.pick<unknown>([[3, 1, 2], [1, 2.5, true], ['b', 'a', 'C'], [], [null, 1], [[1, 'x'], [2, 'y']]]),
  nested: [[1, [2, 3]], ['a', ['b', 'c']]],
  texts: random.pick([['b', 'A', 'c', 'a'], ['x'], ['é', 'z', '👍'], []]),
  d: random.pick<unknown>([{ a: 1, b: 'two', c: null }, { z: [1], items: 'own', a: { deep: true } }, {}]),
  mixed: { 'key one': 1.5, B: false, a: [] },
  empty: [],
  t: true,
  f: false,
})

const literals: Readonly<Record<Kind, readonly string[]>> = {
  text: ["'a'", '"b c"', "''", "'x\\n\\ty'", "'\\u00e9\\x41'", "'%s-%s'", "'{}{}'", "'A' 'b'", "'👍'", "'Äö'", "' '", "','"],
  number: ['0', '1', '2', '-1', '1.0', '2.5', '1e3', '10_0', '0x1f', '0b11', '3', '100'],
  list: ['[1, 2, 3]', "['b', 'a']", '[]', '(1, 2)', '(1,)', "[('a', 1), ('b', 2)]", '[1.0, true, none]', "[{'a': 1}, {'a': 2, 'b': 'x'}]"],
  dict: ["{'a': 1, 'b': 2}", "{'x': 'y', 1: 2}", '{}', "{'A': [1], 'b': none}"],
  bool: ['true', 'false', 'True', 'False'],
  any: ['none', 'None', "'a'", '1', '[]', '{}', '2.0'],
}

const textFilters = [
  ...['upper', 'lower', 'title', 'capitalize', 'trim', "trim('a ')", 'string', 'reverse', 'escape', 'e', 'safe', 'forceescape', 'center(12)', 'urlencode'],
  ...['indent', 'indent(2, true)', "indent('> ', first=true, blank=true)", 'truncate(5)', "truncate(6, true, '~', 0)", "replace('a', 'b')", "replace('', '-')"],
  ...["replace('l', 'L', 1)", 'wordcount', 'length', 'list', 'first', 'last', 'int', 'float', "default('d')", "d('d', true)", 'tojson', 'join', "join('.')"],
  ...['count', 'int(7)', 'int(base=16)', 'float(1.5)', 'unique | list', 'batch(2) | list', 'format(1, 2)', "attr('upper')", 'filesizeformat', "select('in', 'abc') | list"],
  ...['wordwrap(5)', 'striptags', "map('upper') | list", 'sort | list', "indent(width=1)", 'random', 'pprint', 'xmlattr', 'abs', 'center(width=3)', 'urlize', 'dictsort'],
]
const numberFilters = [
  ...['abs', 'int', 'float', 'round', 'round(1)', "round(1, 'floor')", "round(method='ceil')", 'string', 'tojson', 'filesizeformat', 'filesizeformat(true)', 'round(-1)'],
  ...["default(3)", 'e', 'upper', 'length', 'urlencode', 'center(6)', 'trim', 'list', 'round(2) | string', 'safe', 'first', 'title', 'max'],
]
const listFilters = [
  ...['length', 'first', 'last', 'list', 'sort', 'sort(reverse=true)', 'sort(case_sensitive=true)', 'unique | list', 'join', "join(', ')", 'reverse | list', 'tojson'],
  ...['sum', 'sum(start=1)', 'min', 'max', 'batch(2) | list', "batch(2, 'x') | list", 'slice(2) | list', "slice(3, 'z') | list", 'string', "map('string') | list"],
  ...["map('upper') | list", "map(attribute='a') | list", "map(attribute='0') | list", "map(attribute='a', default='-') | list", "select('odd') | list", 'select | list', 'reject | list'],
  ...["select('string') | list", "rejectattr('a') | list", "selectattr('a', 'defined') | list", "selectattr('role', 'equalto', 'user') | list", "groupby('a')", "groupby('role') | list"],
  ...["join('-', attribute='role')", 'tojson(indent=2)', "tojson(separators=(',', ':'))", 'map | list', "sort(attribute='role')", "sort(attribute='0')", 'count', 'items', 'max(attribute=1)'],
  ...["map('join', '+') | list", "reject('none') | list", "map('default', 'q') | list", 'e', 'upper', "default([1])", 'dictsort', "attr('count')", 'map', 'select', "map('nope') | list"],
]
const dictFilters = [
  ...['tojson', 'length', 'list', 'items | list', 'dictsort', "dictsort(by='value')", 'dictsort(reverse=true)', 'string', 'first', "attr('items')", 'xmlattr', 'urlencode'],
  ...['tojson(indent=4)', 'tojson(sort_keys=true)', 'tojson(ensure_ascii=true)', "tojson(indent='\t')", 'join', 'max', 'sort', 'unique | list', 'e', "default({})", 'last', 'reverse | list'],
]
const filters: Readonly<Record<Kind, readonly string[]>> = {
  text: textFilters,
  number: numberFilters,
  list: listFilters,
  dict: dictFilters,
  bool: ['string', 'int', 'tojson', 'float', 'upper', "default('x')", "default('x', true)", 'e', 'abs', 'round'],
  any: ['string', 'tojson', "default('?')", 'length', 'list', 'e', 'upper', 'trim', 'first', 'int', 'float', 'join', 'items', 'safe', 'attr("a")', 'sum', 'max', 'unique'],
}

const textMethods = [
  ...['upper()', 'lower()', 'title()', 'capitalize()', 'swapcase()', 'strip()', "lstrip(' H')", "rstrip('d\\n')", 'split()', "split(',')", "split('b', 1)", 'rsplit(None, 1)'],
  ...["rsplit('X', 1)", 'split(maxsplit=1)', "replace('a', 'é')", "replace('l', '', 1)", "startswith('H')", "endswith(('d', 'x'))", "find('o')", "rfind('o', 2)", "index('a')", "count('l')"],
  ...["partition(' ')", "rpartition(',')", 'splitlines()', 'splitlines(true)', 'isdigit()', 'isalpha()', 'isupper()', 'islower()', 'istitle()', 'isspace()', 'isalnum()', 'isnumeric()'],
  ...['isdecimal()', 'isascii()', 'isidentifier()', 'isprintable()', "center(9, '*')", 'ljust(8)', "rjust(8, '.')", 'zfill(6)', 'expandtabs(4)', "removeprefix('He')", "removesuffix('ld')"],
  ...["join(['x', 'y'])", "join(texts)", 'format(1, name=2)', "format(s, n, name=name)", 'encode()', 'casefold()', "format_map({'name': 1})", "startswith('a', 1)", "join('abc')", 'nope()'],
]
const methods: Readonly<Record<Kind, readonly string[]>> = {
  text: textMethods,
  number: ['real', 'bit_length()', 'is_integer()', 'denominator', 'imag', 'conjugate()', 'nope'],
  list: ['index(1)', 'count(1)', 'append(1)', 'copy()', 'pop()', '0', '1', 'nope', 'insert(0, 1)'],
  dict: ['items()', 'keys()', 'values()', "get('a')", "get('q', 'w')", 'a', 'b', 'items', 'update({})', "pop('a')", 'copy()', 'items() | list', 'keys() | list', 'z', '_a', '__class__'],
  bool: ['real', 'numerator'],
  any: ['a', 'b', 'items', 'role', 'name'],
}

const tests = [
  ...['defined', 'undefined', 'none', 'string', 'number', 'integer', 'float', 'boolean', 'mapping', 'sequence', 'iterable', 'callable', 'true', 'false', 'odd', 'even'],
  ...['divisibleby 2', 'divisibleby(3)', 'lower', 'upper', "in 'abc'", 'in l', 'eq 1', '== 1', "equalto 'a'", 'ne 2', 'gt 1', 'lt(3)', 'ge 2', 'le 1', 'sameas none', 'sameas true', 'escaped'],
  ...["filter", "test", 'not none', 'not defined', 'not string', "greaterthan(0)", 'lessthan 5', 'nope'],
]

const formats = ["'%d' % n", "'%5.2f' % x", "'%-6s|' % s", "'%x' % n", "'%s %s' % (s, n)", "'%(a)s' % d", "'%r' % s", "'%05d' % neg", "'%+d' % n", "'%e' % x", "'%g' % x", "'%%' % ()", "'%c' % 65", "'%.3s' % s", "'%*d' % (5, n)", "'%s' % l", "'%s' % [d]", "'%i' % x", "'%o' % n", "'%#x' % n", "'%G' % x", "'%s' % missing", "'%s' % none", "'%a' % u", "'%.0f' % x", "'% d' % n", "'%s' % ()", "'a' % n"]
const fields = ["'{:>8}'.format(s)", "'{:08.3f}'.format(x)", "'{:,}'.format(big)", "'{:_}'.format(big)", "'{0[a]} {1.role}'.format(d, messages[0])", "'{!r}'.format(s)", "'{:x}'.format(n)", "'{:^10}'.format(name)", "'{:+}'.format(n)", "'{:.2%}'.format(x)", "'{:e}'.format(x)", "'{:*<6}'.format(n)", "'{:{}}'.format(s, 8)", "'{{}}'.format()", "'{:g}'.format(x)", "'{a}'.format(**d)", "'{:,.2f}'.format(x)", "'{:010,}'.format(n)", "'{:b}'.format(n)", "'{:#o}'.format(n)", "'{:.3}'.format(x)", "'{:=+6}'.format(n)", "'{:s}'.format(s)", "'{:d}'.format(true)", "'{:5}'.format(none)", "'{}'.format(l)", "'{:.1}'.format(name)", "'{:n}'.format(n)", "'{:c}'.format(66)", "'{:>+8.1f}'.format(x)"]
const codes = [...'aAbBcCdDeFgGhHIjklmMnpPrRsStTuUVwWxXyYzZ%'].map((code) => `%${code}`).concat(['%-d', '%_H', '%-I', '%e %^b', '%5Y', '%#p', '%Q', '%f', '%-m', '%03d'])

export function generateTemplate(random: Random): string {
  return new Generator(random).body(random.pick([0, 0, 0, 1, 1, 1, 2, 3]))
}

class Generator {
  readonly #random: Random

  constructor(random: Random) {
    this.#random = random
  }

  body(depth: number): string {
    return [this.#statement(depth), ...this.#random.list(2, () => this.#statement(depth))].join(this.#random.pick(['', ' ', '\n', '\n  ', ' \t'])) + this.#random.pick(['', '\n', ' ', '.'])
  }

  #open(): string {
    return this.#random.pick(['{%', '{%', '{%-', '{%+', '{%-']) + this.#random.pick([' ', '', '\n '])
  }

  #close(): string {
    return this.#random.pick([' ', '', '\n']) + this.#random.pick(['%}', '%}', '-%}', '+%}'])
  }

  #tag(code: string): string {
    const open = this.#open()
    return `${open}${/\s$/.test(open) ? '' : ' '}${code} ${this.#close().trimStart()}`
  }

  #statement(depth: number): string {
    const random = this.#random
    if (depth === 0) return this.#leaf()
    const inner = (): string => this.body(depth - 1)
    switch (random.below(24)) {
      case 0:
        return `${this.#tag(`if ${this.expression('any', 2)}`)}${inner()}${random.chance(0.3) ? `${this.#tag(`elif ${this.expression('bool', 2)}`)}${inner()}` : ''}${random.chance(0.4) ? `${this.#tag('else')}${inner()}` : ''}${this.#tag('endif')}`
      case 1:
      case 2: {
        const target = random.pick(['v', 'v', 'i', 'k, v', 'm', '(a, b)', 'k, (a, b)'])
        const source = target.includes(',') ? random.pick(['d.items()', 'nested', 'l', "[('a', 1)]", 'd | dictsort', 'd | items']) : this.expression('list', 2)
        const condition = random.chance(0.25) ? ` if ${random.pick(['v', 'loop', 'v is defined', this.expression('bool', 1)])}` : ''
        return `${this.#tag(`for ${target} in ${source}${condition}`)}${this.#loopPart()}${inner()}${random.chance(0.2) ? `${this.#tag('else')}${inner()}` : ''}${this.#tag('endfor')}`
      }
      case 3:
        return this.#tag(`set ${random.pick(['v', 'w', 's', 'k'])} = ${this.expression('any', 3)}`)
      case 4:
        return this.#tag(`set a, b = ${random.pick(['1, 2', "('x', 'y')", 'l', 's', 'nested', '[1, 2]'])}`)
      case 5:
        return `${this.#tag(`set ns = namespace(a=${this.expression('any', 1)}, c=0)`)}${this.#tag(`set ns.${random.pick(['a', 'b', 'c'])} = ${this.expression('any', 2)}`)}{{ ns.a }}|{{ ns.b }}`
      case 6:
        return `${this.#tag(`set ${random.pick(['v', 'w', 's'])}${random.pick(['', '', ' | upper', ' | trim | length'])}`)}${inner()}${this.#tag('endset')}{{ v }}{{ w }}`
      case 7: {
        const body = inner() + random.pick(['', '{{ p }}', '{{ q }}{{ caller() }}', '{{ varargs }}', '{{ kwargs }}', '{{ caller(1) }}', '{{ p ~ q }}'])
        const call = random.pick(['m(1)', 'm()', "m(q='x')", 'm(1, 2, 3)', 'm(*l)', 'm(**d)', 'm(z=1)', 'm', 'm.name', 'm.arguments', "m(s | upper, n)"])
        return `${this.#tag(`macro m(p${random.pick(['', '=1', '=s'])}, q=${random.pick(["'d'", 'p', 'none', 'n'])})`)}${body}${this.#tag('endmacro')}{{ ${call} }}`
      }
      case 8:
        return `${this.#tag('macro c(p)')}[{{ caller(${random.pick(['', '', '5', 'p'])}) }}]${this.#tag('endmacro')}${this.#tag(`call${random.pick(['', '', '(y)', '(y=2)'])} c(1)`)}${inner()}{{ y }}${this.#tag('endcall')}`
      case 9:
        return `${this.#tag(`filter ${random.pick(['upper', 'trim', "replace('a', 'b')", 'length', 'indent(3)', 'trim | upper', 'e', 'title'])}`)}${inner()}${this.#tag('endfilter')}`
      case 10:
        return `${this.#tag(`with ${random.pick(['v = n', 'v = s, w = v', "k = 'q'", ''])}`)}${inner()}{{ v }}{{ k }}${this.#tag('endwith')}`
      case 11:
        return random.pick(['{% raw %}{{ x }} {% if %}\n{% endraw %}', ' {%- raw -%} a {%- endraw -%} ', '  {% raw %} {{ {% endraw %}\n'])
      case 12:
        return random.pick(['{# c #}', ' {#- c -#} ', '  {# c #}\n', '{#+ c +#}', '{# {{ x }} #}\n\n'])
      case 13:
        return `${this.#tag('for i in range(5)')}${this.#tag(`if i ${random.pick(['==', '>', '<'])} ${random.below(5)}`)}${this.#tag(random.pick(['break', 'continue']))}${this.#tag('endif')}{{ i }}${random.chance(0.4) ? `${this.#tag('else')}E` : ''}${this.#tag('endfor')}`
      case 14:
        return `${this.#tag(`for v in ${random.pick(['nested', '[1, [2, [3]]]', 'l', 'texts'])} recursive`)}{{ loop.depth }}{% if v is iterable and v is not string %}{{ loop(v) }}{% else %}{{ v }}{% endif %}${this.#tag('endfor')}`
      case 15:
        return `${this.#tag('generation')}${inner()}${this.#tag('endgeneration')}`
      case 16:
        return random.chance(0.3) ? `${this.#tag(`block b${random.below(1000)}${random.pick(['', ' scoped'])}`)}${inner()}${this.#tag('endblock')}` : this.#tag(`print ${this.expression('any', 1)}, ${this.expression('text', 1)}`)
      case 17:
        return random.chance(0.2) ? random.pick(["{% include 'x' %}", "{% import 'x' as y %}", "{% extends 'x' %}", "{% from 'x' import y %}", '{% do 1 %}', '{% nope %}', '{% if x %}', '{{ 1 + }}', '{% endif %}', '{{ "a', '{# x', '{% break %}', '{{ x }', "{% for loop in l %}{% endfor %}", "{% set loop = 1 %}"]) : this.#leaf()
      default:
        return this.#leaf()
    }
  }

  #loopPart(): string {
    const parts = ['index', 'index0', 'revindex', 'first', 'last', 'length', 'depth', 'previtem', 'nextitem', "cycle('a', 'b')", 'changed(v)', 'revindex0', 'nope']
    return this.#random.list(2, () => `{{ loop.${this.#random.pick(parts)} }},`).join('')
  }

  #leaf(): string {
    const random = this.#random
    const kind = random.below(12)
    if (kind === 0) return random.pick(['text', 'a\nb', '  ', '\n', 'é👍', '<|x|>', '{ }', '%}', '}}', '\r\n', 'x \n\t'])
    if (kind === 1) return `{{ strftime_now('${random.list(2, () => random.pick(codes)).join(' ')}') }}`
    if (kind === 2 && random.chance(0.1)) return "{{ raise_exception('no ' ~ s) }}"
    const open = random.pick(['{{', '{{', '{{-', '{{ '])
    return `${open} ${this.expression('any', 3)} ${random.pick(['}}', '}}', '-}}'])}`
  }

  expression(kind: Kind, depth: number): string {
    const random = this.#random
    // Now and then another kind than fits.
    const own: Kind = kind === 'any' || random.chance(0.02) ? random.pick<Kind>(['text', 'text', 'number', 'list', 'dict', 'bool', 'any']) : kind
    if (depth <= 0 || random.chance(0.25)) return random.pick(random.chance(0.5) ? names[own] : literals[own])
    const inner = (next: Kind): string => this.expression(next, depth - 1)
    switch (random.below(14)) {
      case 0:
      case 1:
      case 2:
        return `${this.#atom(own, depth - 1)} | ${random.pick(filters[own])}`
      case 3:
      case 4:
        return `${this.#atom(own, depth - 1)}.${random.pick(methods[own])}`
      case 5:
        return `(${inner(own)} if ${inner('bool')}${random.chance(0.8) ? ` else ${inner(own)}` : ''})`
      case 6:
        return `${this.#atom('any', depth - 1)} is ${random.pick(['', '', 'not '])}${random.pick(tests)}`
      case 7:
        return own === 'text' || own === 'any' ? random.pick(random.chance(0.5) ? formats : fields) : `${inner(own)} ${random.pick(['and', 'or'])} ${inner(own)}`
      case 8:
        return `${this.#atom(random.pick<Kind>(['text', 'list']), depth - 1)}[${random.pick(['0', '-1', '1:', ':2', '::-1', '1:3', '::2', '-2:', ':-1', '5', 'n', "'a'", '-1:0:-1', 'none:2', '0:0', 'x'])}]`
      case 9:
        return `(${inner(own)} ${random.pick(['==', '!=', '<', '>', '<=', '>='])} ${inner(own)}${random.chance(0.1) ? ` < ${inner(own)}` : ''})`
      case 10:
        return `(${inner(random.pick<Kind>(['text', 'number']))} ${random.pick(['in', 'not in'])} ${inner(random.pick<Kind>(['list', 'text', 'dict']))})`
      case 11:
        return `(${inner(own)} ~ ${inner('any')}${random.chance(0.3) ? ` ~ ${inner('number')}` : ''})`
      case 12:
        return random.pick([`dict(a=${inner('any')})`, `[${inner('any')}, ${inner('any')}]`, `{'a': ${inner('any')}, ${inner('text')}: 1}`, `(${inner('any')},)`, `not ${inner('any')}`, `cycler(1, 2).next()`, `joiner('|')()`, `namespace(a=1)`, `range(${inner('number')})`, 'dict(d, q=1)', `-${this.#atom('number', depth - 1)}`, '(s, n)'])
      default:
        return this.#arithmetic(own, inner)
    }
  }

  #arithmetic(kind: Kind, inner: (kind: Kind) => string): string {
    const random = this.#random
    if (kind === 'text') return `(${inner('text')} ${random.pick(['+', '+', '*'])} ${random.chance(0.8) ? inner('text') : 'n'})`
    if (kind === 'list') return `(${inner('list')} + ${inner('list')})`
    // Python would compute large powers to their end.
    if (random.chance(0.1)) return `(${random.pick(['n', 'neg', '2', '1.5', 'x', 'zero', '10'])} ** ${random.pick(['2', '3', '0', '0.5', '-1', '10', 'zero'])})`
    return `(${inner('number')} ${random.pick(['+', '-', '*', '/', '//', '%'])} ${inner('number')})`
  }

  #atom(kind: Kind, depth: number): string {
    const expression = this.expression(kind, depth)
    return /^[\w.]+$|^'[^']*'$|^\(.*\)$|^\[.*\]$/.test(expression) && !/^[(].*[)].*[(]|^\[.*\].*\[/.test(expression) ? expression : `(${expression})`
  }
}
