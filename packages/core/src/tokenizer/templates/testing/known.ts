/** Templates that other interpreters, this one's forerunner among them, render otherwise than jinja2. */
interface Known {
  readonly template: string
  readonly variables?: Readonly<Record<string, unknown>>
}

const user = (content: unknown) => ({ messages: [{ role: 'user', content }] })

export const known: readonly Known[] = [
  // A variable set in one turn of a loop is gone in the next.
  {
    template:
      "{% for m in messages %}{% if '</r>' in m.content %}{% set r = m.content.split('</r>')[0] %}{% endif %}[{{ r }}]{% endfor %}",
    variables: {
      messages: [
        { role: 'assistant', content: '<r>secret</r>one' },
        { role: 'assistant', content: 'two' },
      ],
    },
  },
  { template: '{% set x = 1 %}{% for i in [1,2] %}{% set x = x + i %}{{ x }},{% endfor %}{{ x }}' },
  { template: '{% for i in [1,2] %}{{ y }}{% endfor %}{% set y = 1 %}{{ y }}', variables: { y: 'given' } },
  { template: '{% set y %}{{ y }}{% endset %}[{{ y }}]', variables: { y: 'given' } },
  { template: '{% macro m(x=x) %}[{{ x }}]{% endmacro %}{{ m() }}', variables: { x: 'given' } },
  {
    template:
      '{% for i in [1,2] %}{% continue %}{% else %}else{% endfor %}{% for i in [1,2] %}{% break %}{% else %}else{% endfor %}',
  },
  // Values print as Python's.
  { template: "{{ true }} {{ none }} {{ messages[0].role == 'user' }}", variables: user('hi') },
  {
    template: '{{ tools }} {{ tools | string }} {{ "%s" % tools }} {{ tools ~ 1 }}',
    variables: { tools: [{ n: 'it', r: true, d: null }] },
  },
  {
    template: '{{ messages[0].content }} {{ messages[0].content | trim }} {{ messages[0].content | upper }}',
    variables: user(null),
  },
  {
    template:
      '{{ (1, 2) }} {{ 2.0 }} {{ 1.0|tojson }} {{ [2.0] }} {{ range(3) }} {{ 1e16 }} {{ 1e-5 }} {{ 0.1 + 0.2 }} {{ 10 / 4 }} {{ 7 // 2 }}',
  },
  {
    template:
      '{{ -7 // 2 }} {{ -7 % 3 }} {{ 7.5 % -2 }} {{ 2 ** 100 }} {{ 2 ** -1 }} {{ 1 / 3 }} {{ 123456789012345678901234567890 + 1 }}',
  },
  {
    template:
      '{{ {"a": {}}.a }} {{ {1: 2, "b": (none,)} }} {{ {"x": 1}.items() }} {{ {"x": 1}.keys() }} {{ "it\'s" | list }} {{ ["\\n\\x01é👍"] }}',
  },
  // Characters are code points.
  {
    template:
      '{{ messages[0].content|length }}{{ messages[0].content[0] }}|{{ messages[0].content[:1] }}|{{ messages[0].content[-1] }}',
    variables: user('👍é👍'),
  },
  {
    template:
      "{{ s[::-1] }}|{{ s[1:3] }}|{{ s | first }}|{{ s.find('b') }}|{{ s.center(9, '*') }}|{{ s | truncate(2, true, '', 0) }}|{{ '%5s' % s }}",
    variables: { s: 'a👍b' },
  },
  // What fails there fails here.
  ...[
    "{{ 'a' + 1 }}",
    '{{ messages[9].role }}',
    '{{ x.y.z }}',
    '{{ 1 | length }}',
    "{{ 'a' < 1 }}",
    '{{ none + 1 }}',
    '{{ [].append(1) }}',
  ].map((template) => ({ template, variables: user('hi') })),
  { template: "{{ messages[0].content + 'x' }}", variables: user([{ type: 'text', text: 'hi' }]) },
  ...[
    "{{ ''.__class__.__mro__ }}",
    '{{ {}.pop("a") }}',
    '{% set ns = namespace() %}{% set ns._x = 1 %}',
    '{{ range(1000000) }}',
    "{% include 'x' %}",
    '{{ x() }}',
    '{{ 1 | nope }}',
    '{{ 1 is nope }}',
  ].map((template) => ({ template })),
  {
    template:
      "{% if false %}{{ 1 | nope }}{% endif %}{{ 'ok' if true else (1 is nope) }}{{ ''.__class__ }}{{ [].append is defined }}",
  },
  // What runs there runs here.
  ...[
    ...[
      '{{ 1.0 is float }}{{ 1 is float }}',
      '{{ [1,2]|sum }}',
      '{% raw %}{{ x }}{% endraw %}',
      '{% with a=3 %}{{ a }}{% endwith %}',
      '{{ none in [none] }}',
    ],
    ...[
      'a\n  {%+ if true %}b{% endif %}',
      "{{ ['a','b']|map('upper')|join }}",
      '{% for x, (y, z) in [(1,(2,3))] %}{{ x+y+z }}{% endfor %}',
      "{{ 'x=1'.partition('=')[2] }}",
    ],
    ...[
      "{{ '<'|escape }}",
      'a\r\nb',
      '{% for i in [1,[2,[3]]] recursive %}{{ loop(i) if i is iterable else i }}{% endfor %}',
      "{{ [3,1]|sort|first }}{{ 'b,a'.split(',')|sort }}",
    ],
    ...[
      "{{ ('<'|e) + '<' }}{{ ('<'|e) ~ '<' }}{{ '<'|safe }}",
      "{{ '{:>5}|{:05.1f}|{!r}'.format('a', 2.25, 'b') }}",
      "{{ '%-5s|%05d|%.2e' % ('a', -3, 12345.678) }}",
      '{{ 1 < 2 < 3 }}{{ 3 > 2 > 2 }}',
    ],
    ...[
      '{{ {"b": 1, "a": [1, {"c": none}]}|tojson(indent=2) }}',
      '{{ "é\\n"|tojson(ensure_ascii=true) }}',
      '{{ 2.5|round }}{{ 0.5|round }}{{ 2.675|round(2) }}{{ 42|round }}',
      '{{ "12.9"|int }}{{ "x"|int }}{{ "0x1f"|int(base=16) }}',
    ],
    ...[
      '{% call(x) m(1) %}{{ x }}{% endcall %}{% macro m(a) %}{{ caller(a) }}{% endmacro %}',
      '{% macro m(a) %}{{ caller(a) }}{% endmacro %}{% call(x) m(1) %}[{{ x }}]{% endcall %}',
      '{% generation %}{% set q = 1 %}{{ q }}{% endgeneration %}[{{ q }}]',
    ],
    ...[
      "{% for i in [1,2,3] %}{{ loop.previtem }}{{ loop.nextitem }}{{ loop.cycle('a','b') }}{{ loop.changed(i//2) }}{{ loop.revindex }}{% endfor %}",
      '{% for i in [1,2,3] if i != 2 %}{{ loop.index }}/{{ loop.length }} {% endfor %}',
    ],
  ].map((template) => ({ template })),
  // Older names for a message's reasoning.
  {
    template: '{% for m in messages %}{{ m.reasoning_content }}{{ m }}{% endfor %}',
    variables: { messages: [{ role: 'assistant', content: 'a', reasoning: 'b' }] },
  },
]

export const strftimeFormats = [
  ...[...'aAbBcCdDeFgGhHIjklmMnpPrRsStTuUVwWxXyYzZ%Q'].map((code) => `%${code}`),
  ...['%-d', '%_H', '%-I', '%^b', '%#p', '%5Y', '%-m', '%03d', '%I:%M %p', '%d %B %Y', '%%d', '%', 'x%'],
]
