/** Random templates over the whole language: every statement, operator, filter, test and method, mostly well-typed. */

import type { SmallRandom as Random } from '../../../testing/small-random.ts'
import { codes, fields, filters, formats, type Kind, literals, methods, names, tests } from './pieces.ts'

export function generateTemplate(random: Random): string {
  return new Generator(random).body(random.pick([0, 0, 0, 1, 1, 1, 2, 3]))
}

class Generator {
  readonly #random: Random

  constructor(random: Random) {
    this.#random = random
  }

  body(depth: number): string {
    return (
      [this.#statement(depth), ...this.#random.list(2, () => this.#statement(depth))].join(
        this.#random.pick(['', ' ', '\n', '\n  ', ' \t']),
      ) + this.#random.pick(['', '\n', ' ', '.'])
    )
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
        const source = target.includes(',')
          ? random.pick(['d.items()', 'nested', 'l', "[('a', 1)]", 'd | dictsort', 'd | items'])
          : this.expression('list', 2)
        const condition = random.chance(0.25)
          ? ` if ${random.pick(['v', 'loop', 'v is defined', this.expression('bool', 1)])}`
          : ''
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
        const body =
          inner() +
          random.pick(['', '{{ p }}', '{{ q }}{{ caller() }}', '{{ varargs }}', '{{ kwargs }}', '{{ caller(1) }}', '{{ p ~ q }}'])
        const call = random.pick([
          'm(1)',
          'm()',
          "m(q='x')",
          'm(1, 2, 3)',
          'm(*l)',
          'm(**d)',
          'm(z=1)',
          'm',
          'm.name',
          'm.arguments',
          'm(s | upper, n)',
        ])
        return `${this.#tag(`macro m(p${random.pick(['', '=1', '=s'])}, q=${random.pick(["'d'", 'p', 'none', 'n'])})`)}${body}${this.#tag('endmacro')}{{ ${call} }}`
      }
      case 8:
        return `${this.#tag('macro c(p)')}[{{ caller(${random.pick(['', '', '5', 'p'])}) }}]${this.#tag('endmacro')}${this.#tag(`call${random.pick(['', '', '(y)', '(y=2)'])} c(1)`)}${inner()}{{ y }}${this.#tag('endcall')}`
      case 9:
        return `${this.#tag(`filter ${random.pick(['upper', 'trim', "replace('a', 'b')", 'length', 'indent(3)', 'trim | upper', 'e', 'title'])}`)}${inner()}${this.#tag('endfilter')}`
      case 10:
        return `${this.#tag(`with ${random.pick(['v = n', 'v = s, w = v', "k = 'q'", ''])}`)}${inner()}{{ v }}{{ k }}${this.#tag('endwith')}`
      case 11:
        return random.pick([
          '{% raw %}{{ x }} {% if %}\n{% endraw %}',
          ' {%- raw -%} a {%- endraw -%} ',
          '  {% raw %} {{ {% endraw %}\n',
        ])
      case 12:
        return random.pick(['{# c #}', ' {#- c -#} ', '  {# c #}\n', '{#+ c +#}', '{# {{ x }} #}\n\n'])
      case 13:
        return `${this.#tag('for i in range(5)')}${this.#tag(`if i ${random.pick(['==', '>', '<'])} ${random.below(5)}`)}${this.#tag(random.pick(['break', 'continue']))}${this.#tag('endif')}{{ i }}${random.chance(0.4) ? `${this.#tag('else')}E` : ''}${this.#tag('endfor')}`
      case 14:
        return `${this.#tag(`for v in ${random.pick(['nested', '[1, [2, [3]]]', 'l', 'texts'])} recursive`)}{{ loop.depth }}{% if v is iterable and v is not string %}{{ loop(v) }}{% else %}{{ v }}{% endif %}${this.#tag('endfor')}`
      case 15:
        return `${this.#tag('generation')}${inner()}${this.#tag('endgeneration')}`
      case 16:
        return random.chance(0.3)
          ? `${this.#tag(`block b${random.below(1000)}${random.pick(['', ' scoped'])}`)}${inner()}${this.#tag('endblock')}`
          : this.#tag(`print ${this.expression('any', 1)}, ${this.expression('text', 1)}`)
      case 17:
        return random.chance(0.2)
          ? random.pick([
              "{% include 'x' %}",
              "{% import 'x' as y %}",
              "{% extends 'x' %}",
              "{% from 'x' import y %}",
              '{% do 1 %}',
              '{% nope %}',
              '{% if x %}',
              '{{ 1 + }}',
              '{% endif %}',
              '{{ "a',
              '{# x',
              '{% break %}',
              '{{ x }',
              '{% for loop in l %}{% endfor %}',
              '{% set loop = 1 %}',
            ])
          : this.#leaf()
      default:
        return this.#leaf()
    }
  }

  #loopPart(): string {
    const parts = [
      'index',
      'index0',
      'revindex',
      'first',
      'last',
      'length',
      'depth',
      'previtem',
      'nextitem',
      "cycle('a', 'b')",
      'changed(v)',
      'revindex0',
      'nope',
    ]
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
    const own: Kind =
      kind === 'any' || random.chance(0.02) ? random.pick<Kind>(['text', 'text', 'number', 'list', 'dict', 'bool', 'any']) : kind
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
        return own === 'text' || own === 'any'
          ? random.pick(random.chance(0.5) ? formats : fields)
          : `${inner(own)} ${random.pick(['and', 'or'])} ${inner(own)}`
      case 8:
        return `${this.#atom(random.pick<Kind>(['text', 'list']), depth - 1)}[${random.pick(['0', '-1', '1:', ':2', '::-1', '1:3', '::2', '-2:', ':-1', '5', 'n', "'a'", '-1:0:-1', 'none:2', '0:0', 'x'])}]`
      case 9:
        return `(${inner(own)} ${random.pick(['==', '!=', '<', '>', '<=', '>='])} ${inner(own)}${random.chance(0.1) ? ` < ${inner(own)}` : ''})`
      case 10:
        return `(${inner(random.pick<Kind>(['text', 'number']))} ${random.pick(['in', 'not in'])} ${inner(random.pick<Kind>(['list', 'text', 'dict']))})`
      case 11:
        return `(${inner(own)} ~ ${inner('any')}${random.chance(0.3) ? ` ~ ${inner('number')}` : ''})`
      case 12:
        return random.pick([
          `dict(a=${inner('any')})`,
          `[${inner('any')}, ${inner('any')}]`,
          `{'a': ${inner('any')}, ${inner('text')}: 1}`,
          `(${inner('any')},)`,
          `not ${inner('any')}`,
          `cycler(1, 2).next()`,
          `joiner('|')()`,
          `namespace(a=1)`,
          `range(${inner('number')})`,
          'dict(d, q=1)',
          `-${this.#atom('number', depth - 1)}`,
          '(s, n)',
        ])
      default:
        return this.#arithmetic(own, inner)
    }
  }

  #arithmetic(kind: Kind, inner: (kind: Kind) => string): string {
    const random = this.#random
    if (kind === 'text') return `(${inner('text')} ${random.pick(['+', '+', '*'])} ${random.chance(0.8) ? inner('text') : 'n'})`
    if (kind === 'list') return `(${inner('list')} + ${inner('list')})`
    // Python would compute large powers to their end.
    if (random.chance(0.1))
      return `(${random.pick(['n', 'neg', '2', '1.5', 'x', 'zero', '10'])} ** ${random.pick(['2', '3', '0', '0.5', '-1', '10', 'zero'])})`
    return `(${inner('number')} ${random.pick(['+', '-', '*', '/', '//', '%'])} ${inner('number')})`
  }

  #atom(kind: Kind, depth: number): string {
    const expression = this.expression(kind, depth)
    return /^[\w.]+$|^'[^']*'$|^\(.*\)$|^\[.*\]$/.test(expression) && !/^[(].*[)].*[(]|^\[.*\].*\[/.test(expression)
      ? expression
      : `(${expression})`
  }
}
