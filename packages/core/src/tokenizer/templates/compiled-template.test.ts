/** Templates that attack. Each must end with our error; a hang or a crash would end the test run. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { isParscaleError } from '../../errors.ts'
import { compileTemplate } from './compiled-template.ts'

/** Kind of the error that a template ends with, or its text. */
function outcome(template: string, variables: Record<string, unknown> = {}): string {
  try {
    return `text: ${compileTemplate(template).render({ given: variables }).value}`
  } catch (error) {
    return isParscaleError(error) ? `${error.kind}: ${error.message}` : `unexpected: ${String(error)}`
  }
}

const doubling = (step: string, start: string, rounds = 60): string =>
  `{% set ns = namespace(x=${start}) %}{% for i in range(${rounds}) %}{% set ns.x = ${step} %}{% endfor %}`
const million = '{% set ns = namespace(s="ab ") %}{% for i in range(19) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}'

const attacks: Record<string, string> = {
  'a long range': '{% for i in range(1000000000) %}x{% endfor %}',
  'an endless range': '{{ range(9007199254740991) | length }}',
  'a backward range': '{{ range(9007199254740991, -9007199254740991, -1) }}',
  'nested loops': `${'{% for i in range(1000) %}'.repeat(5)}x${'{% endfor %}'.repeat(5)}`,
  'many empty loops': '{% for i in range(3000) %}{% for j in range(3000) %}{% endfor %}{% endfor %}',
  'a text that doubles by ~': `${doubling('ns.x ~ ns.x', '"ab"')}{{ ns.x }}`,
  'a text that doubles by +': `${doubling('ns.x + ns.x', '"ab"')}{{ ns.x }}`,
  'a text that doubles by replace': `${doubling('ns.x.replace("a", "aa")', '"a"')}{{ ns.x }}`,
  'a text that doubles in a block': `${doubling('0', '0', 1)}${'{% set x %}{{ x }}{{ x }}aa{% endset %}'.repeat(60)}{{ x }}`,
  'replace in replace': `${million}{{ ns.s | replace("a", ns.s) }}`,
  'replace of nothing': `${million}{{ ns.s.replace("", ns.s) }}`,
  'replace in a filter block': `${million}{% filter replace("a", ns.s) %}{{ ns.s }}{% endfilter %}`,
  'join with a long separator': `${million}{{ ns.s | join(ns.s) }}`,
  'join of a long list': `${million}{{ ns.s.split(" ") | join(ns.s) }}`,
  'a wide indent': `${million}{{ ns.s | indent(1000000000) }}`,
  'a wide indent by name': '{{ "a\\nb" | indent(width=1000000000, first=true) }}',
  'an indented json': '{{ [1, [2, [3]]] | tojson(indent=100000000) }}',
  'a long json separator': `${million}{{ [1, 2, 3, 4] | tojson(separators=(ns.s, ns.s)) }}`,
  'a list that doubles by +': `${doubling('ns.x + ns.x', '[1]')}{{ ns.x | length }}`,
  'a list that holds itself twice, written': `${doubling('[ns.x, ns.x]', '[1]')}{{ ns.x }}`,
  'a list that holds itself twice, as json': `${doubling('[ns.x, ns.x]', '[1]')}{{ ns.x | tojson }}`,
  'a list that holds itself twice, joined': `${doubling('[ns.x, ns.x]', '[1]')}{{ ns.x | join("") }}`,
  'a list that holds itself twice, appended': `${doubling('[ns.x, ns.x]', '[1]')}{{ ns.x ~ "1" }}`,
  'a map that holds itself twice': `${doubling('{"a": ns.x, "b": ns.x}', '1')}{{ ns.x }}`,
  'a namespace that holds itself': '{% set ns = namespace() %}{% set ns.a = ns %}{{ ns }}',
  'a namespace that holds itself, as json': '{% set ns = namespace() %}{% set ns.a = ns %}{{ ns | tojson }}',
  'a macro that calls itself': '{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}',
  'a macro that calls itself twice': '{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(90) }}',
  'macros that call each other': '{% macro a() %}{{ b() }}{% endmacro %}{% macro b() %}{{ a() }}{% endmacro %}{{ a() }}',
  'a caller that calls itself':
    '{% macro m() %}{{ caller() }}{% endmacro %}{% call m() %}{% call m() %}{{ m() }}{% endcall %}{% endcall %}',
  'a method kept in a variable': `${million}{% set f = ns.s.replace %}{{ f("a", ns.s) }}`,
  'a method called by call': `${million}{% call ns.s.replace("a", ns.s) %}{% endcall %}`,
  'a method by computed name': `${million}{{ ns.s["rep" ~ "lace"]("a", ns.s) }}`,
  'a search made for it': `${million}{% for i in range(10000) %}{{ (ns.s[:400000] ~ "c") in ns.s }}{% endfor %}`,
  'sorting a long list again and again': `${million}{% set l = ns.s.split(" ") %}{% for i in range(10000) %}{% set k = l | sort %}{% endfor %}`,
  'slicing again and again': `${million}{% for i in range(100000) %}{% set k = ns.s[::2] %}{% endfor %}`,
  'upper case again and again': `${million}{% for i in range(100000) %}{% set k = ns.s | upper %}{% endfor %}`,
  'splitting again and again': `${million}{% for i in range(100000) %}{% set k = ns.s.split() %}{% endfor %}`,
  'unknown names': `{% for i in range(300000) %}${'{{ x }}'.repeat(20)}{% endfor %}`,
  'unknown names, deep down': `${'{% for i in [1] %}'.repeat(100)}{% for i in range(300000) %}${'{{ x }}'.repeat(20)}{% endfor %}${'{% endfor %}'.repeat(100)}`,
  'loops that go on': `{% for i in range(300000) %}{% continue %}{% endfor %}`,
  'loops that end': `{% for i in range(300000) %}{% for j in [1] %}{% break %}{% endfor %}{% endfor %}`,
  'nested brackets': `{{ ${'['.repeat(50000)}${']'.repeat(50000)} }}`,
  'nested parentheses': `{{ ${'('.repeat(50000)}1${')'.repeat(50000)} }}`,
  'nested blocks': `${'{% if true %}'.repeat(9000)}${'{% endif %}'.repeat(9000)}`,
  'a long chain of operators': `{{ ${'1 + '.repeat(20000)}1 }}`,
  'a long chain of filters': `{{ "a"${' | trim'.repeat(20000)} }}`,
  'a long chain of not': `{{ ${'not '.repeat(20000)}1 }}`,
  'a long template': ' x'.repeat(1 << 20),
  'a run of white space': `${' '.repeat(200000)}{% if x`,
  'a run of white space around generation tags': `${' \n'.repeat(100000)}{% generation %}`,
  'a wide format': "{{ '%999999999d' % 1 }}",
  'a wide format, twice': "{{ '%*d' % (99999999, 1) }}",
  'a precise format': "{{ '%.999999999f' % 1.5 }}",
  'a wide field': "{{ '{:>999999999}'.format('a') }}",
  'a wide field of a field': "{{ '{:{}}'.format('a', 99999999) }}",
  'a wide number with thousands': "{{ '{:0999999999,}'.format(1) }}",
  "a wide number with thousands, within a text's limit": "{{ '{:01900000,}'.format(1) }}",
  'precise formats': "{% for i in range(1000) %}{{ '%.999999f' % 1.5 }}{{ '%.999999e' % 1.5 }}{% endfor %}",
  'what is nearly a number': '{{ ("9" * 4000000 ~ "x") | float + "" }}',
  'nearly a field': '{{ ("{" ~ "[" * 1000000).format() }}',
  'nearly a directive': '{{ ("%(" * 1000000) % {} }}',
  'many fields': `{{ ('{0}' * 100000).format('a' * 1000) }}`,
  'a text many times over': '{{ "ab" * 1000000000 }}',
  'a text many times over, again and again': '{{ "ab" * 1000 * 1000 * 1000 }}',
  'a list many times over': '{{ ([1] * 1000000000) | length }}',
  'a power': '{{ 10 ** 10000000 }}',
  'powers of powers': '{% set ns = namespace(x=3) %}{% for i in range(90) %}{% set ns.x = ns.x * ns.x %}{% endfor %}{{ ns.x }}',
  'a wide centre': '{{ "a".center(1000000000) }}',
  'many zeros': '{{ "1".zfill(1000000000) }}',
  'wide tabs': '{{ "\\t".expandtabs(1000000000) }}',
  'a wide batch': '{{ [1] | batch(1000000000, 0) | list }}',
  'many slices': '{{ [1] | slice(1000000000) | list }}',
  'a text of all items of a text': `${million}{{ ns.s | list | string | list | string | list | length }}`,
  'two lists that hold themselves, compared': `${doubling('[ns.x, ns.x]', '[1]')}{% set a = ns.x %}${doubling('[ns.x, ns.x]', '[1]')}{{ a == ns.x }}`,
  'two lists that hold themselves, ordered': `${doubling('[ns.x, ns.x]', '[1]')}{% set a = ns.x %}${doubling('[ns.x, ns.x]', '[1]')}{{ a < ns.x }}`,
  'a key that holds itself twice': `${doubling('(ns.x, ns.x)', '(1,)')}{{ {ns.x: 1} }}`,
  'a loop that calls itself': '{% for i in [1] recursive %}{{ loop([1]) }}{% endfor %}',
  'a loop that calls itself twice': '{% for i in [1] recursive %}{{ loop([1]) }}{{ loop([1]) }}{% endfor %}',
  'a generator of generators':
    '{% set ns = namespace(x=[1]) %}{% for i in range(90000) %}{% set ns.x = ns.x | map("string") %}{% endfor %}{{ ns.x | list }}',
  'many format stars': '{{ ("%s" * 1000000) % (range(1000000) | list) }}',
  'an unfinished tag': '{% for',
  'an unfinished text': '{{ "a',
  'an unfinished comment': '{# a',
  'an unfinished block': '{% for i in [1] %}',
  'an unknown filter': '{{ 1 | frobnicate }}',
  'a break outside of a loop': '{% break %}',
}

describe('a template that attacks ends with an error', () => {
  it.each(Object.entries(attacks))('%s', (_, template) => {
    expect(outcome(template)).toMatch(/^(checkpoint|unsupported|usage): chat template: /)
  })

  it.each([
    ['a list that holds itself twice, compared', `${doubling('[ns.x, ns.x]', '[1]')}{{ ns.x == "1" }}`, 'False'],
    ['two lists that hold themselves twice, compared', `${doubling('[ns.x, ns.x]', '[1]', 8)}{{ ns.x == ns.x }}`, 'True'],
    [
      'macros defined in a loop',
      `{% for i in range(9999) %}{% macro m() %}${'{{ x }}'.repeat(1000)}{% endmacro %}{% endfor %}`,
      '',
    ],
    ['unpacking into a method', '{{ "a".replace(*["a", "b"]) }}', 'b'],
    ['an integer in a text', '{{ ("9" * 4000000) | int }}', '0'],
    ['a negative indent', '{{ "a\\nb" | indent(-5) }}', 'a\nb'],
  ])('unless Python renders it too: %s', (_, template, text) => {
    expect(outcome(template)).toBe(`text: ${text}`)
  })

  it('also where the messages are the long part', () => {
    const content = '<'.repeat(1 << 20)
    const template = '{% for i in range(1000) %}{{ content | replace("<", "&lt;") }}{% endfor %}'
    expect(outcome(template, { content })).toMatch(/^checkpoint: chat template: stopped/)
  })
})

describe('an honest template', () => {
  const chatml = "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content | trim + '<|im_end|>\\n' }}{% endfor %}"

  it('renders a thousand turns', () => {
    const messages = Array.from({ length: 1000 }, () => ({ role: 'user', content: 'x'.repeat(1000) }))
    expect(outcome(chatml, { messages })).toHaveLength('text: '.length + 1000 * (1000 + '<|im_start|>user\n<|im_end|>\n'.length))
  })

  it('renders a megabyte in one turn', () => {
    expect(outcome(chatml, { messages: [{ role: 'user', content: 'x'.repeat(1 << 20) }] }).length).toBeGreaterThan(1 << 20)
  })

  it.each([
    ['{{ "xaxx".strip("x") }} {{ " \\n a ".lstrip("\\n ") }}|{{ "\\x1ca\\x85".strip() }}', 'a a |a'],
    ['{% for i in [1, 2, 3] if i != 2 %}{{ loop.index }}:{{ i }} {% endfor %}', '1:1 2:3 '],
    ['{% filter upper %}a{{ 1 }}b{% endfilter %}', 'A1B'],
    ['{{ {"a": 1}.items is defined }} {{ {"items": 1}["items"] }} {{ "x" if {}.get }}', 'True 1 x'],
    ['{% macro m(a, b=2) %}{{ a }}{{ b }}{{ caller() }}{% endmacro %}{% call m(1) %}3{% endcall %}', '123'],
    ['{{ [3, 1, 2] | sort | join(",") }} {{ [{"a": 1}, {"a": 2}] | map(attribute="a") | list }}', '1,2,3 [1, 2]'],
    [
      '{{ range(5)[1:4] }} {{ range(2, 8, 3) }} {{ range(3, 0, -1) }} {{ range(0) }}',
      'range(1, 4) range(2, 8, 3) range(3, 0, -1) range(0, 0)',
    ],
    ['{{ "abc"[::-1] }} {{ "b" in "abc" }} {{ 2 in [1] }} {{ "a,b".split(",") }}', "cba True False ['a', 'b']"],
  ])('%s', (template, text) => {
    expect(outcome(template)).toBe(`text: ${text}`)
  })
})

it('ends with a text or our error, whatever the template', () => {
  const part = fc.constantFrom(
    ...[
      '{% for i in x %}',
      '{% endfor %}',
      '{{ x',
      '}}',
      ' | join(x)',
      ' | replace("a", x)',
      '.items()',
      '[0]',
      '[::-1]',
      '{% if x %}',
    ],
    ...[
      '{% else %}',
      '{% endif %}',
      '{% macro x(y) %}',
      '{% endmacro %}',
      '{{ x(x) }}',
      '{% set x = [x, x] %}',
      ' ~ ',
      '(',
      ')',
      '"',
      'a',
    ],
  )
  const variables = fc.record({
    x: fc.oneof(fc.string(), fc.integer(), fc.array(fc.string()), fc.dictionary(fc.string(), fc.integer())),
  })
  fc.assert(
    fc.property(fc.array(part), variables, (parts, given) => {
      expect(outcome(parts.join(''), given)).toMatch(/^(text|checkpoint|unsupported|usage):/)
    }),
    { numRuns: 500 },
  )
})
