/** Tokens to statements, as jinja2/parser.py. Expressions are read by `expressions.ts`. */

import { ExpressionParser } from './expressions.ts'
import { type LexerOptions, syntaxError, tokenize } from './lexer.ts'
import type { Expression, FilterNode, ForNode, Signature, Statement, Target } from './nodes.ts'
import { text } from './text.ts'

export const parse = (template: string, options?: LexerOptions): Statement[] => new Parser(tokenize(template, options)).template()

const noArguments = { positional: [], named: [], list: undefined, dict: undefined }

class Parser extends ExpressionParser {
  template(): Statement[] {
    return this.#statements([])
  }

  /** Statements up to one of the tags in `ends`, whose name is left to be read. */
  #statements(ends: readonly string[]): Statement[] {
    const body: Statement[] = []
    const output: Expression[] = []
    const flush = (): void => {
      if (output.length > 0) body.push({ kind: 'output', parts: output.splice(0) })
    }
    this.enter()
    while (this.token.type !== 'end') {
      const token = this.next()
      if (token.type === 'data') output.push({ kind: 'constant', value: text(token.value) })
      else if (token.type === 'variable begin') {
        output.push(this.tuple())
        this.expect('variable end')
      } else {
        flush()
        if (this.token.type === 'name' && ends.includes(this.token.value)) {
          this.leave()
          return body
        }
        body.push(this.#statement())
        this.expect('block end')
      }
    }
    flush()
    this.leave()
    if (ends.length > 0)
      throw syntaxError(`Unexpected end of template. Jinja was looking for ${ends.join(' or ')}`, this.token.line)
    return body
  }

  /** What is between two tags. The second one's name is read when it is the only one. */
  #body(...ends: readonly string[]): Statement[] {
    this.skipOperator(':')
    this.expect('block end')
    const body = this.#statements(ends)
    if (ends.length === 1) this.next()
    return body
  }

  #statement(): Statement {
    const { type, value: tag, line } = this.token
    if (type !== 'name') throw syntaxError('tag name expected', line)
    const read = Object.hasOwn(this.#tags, tag) ? this.#tags[tag] : undefined
    if (!read) throw syntaxError(`Encountered unknown tag '${tag}'`, line)
    this.next()
    return read()
  }

  readonly #tags: Readonly<Record<string, () => Statement>> = {
    for: () => this.#for(),
    if: () => this.#if(),
    set: () => this.#set(),
    with: () => this.#with(),
    macro: () => this.#macro(),
    call: () => this.#callBlock(),
    filter: () => ({ kind: 'filter block', filter: this.#filters(true)!, body: this.#body('endfilter') }),
    generation: () => ({ kind: 'call block', call: undefined, parameters: [], defaults: [], body: this.#body('endgeneration') }),
    print: () => this.#print(),
    block: () => this.#block(),
    break: () => ({ kind: 'jump', to: 'break' }),
    continue: () => ({ kind: 'jump', to: 'continue' }),
    include: () => this.#include(),
    import: () => this.#import(),
    from: () => this.#from(),
    extends: () => ({ kind: 'load', tag: 'extends', template: this.expression(), names: [] }),
    autoescape: () => {
      throw this.unsupported('{% autoescape %}')
    },
  }

  #for(): ForNode {
    const target = this.target(['in'])
    this.expectName('in')
    const iterable = this.tuple({ withCondition: false, ends: ['recursive'] })
    const test = this.skipName('if') ? this.expression() : undefined
    const recursive = this.skipName('recursive')
    const body = this.#body('endfor', 'else')
    const otherwise = this.next().value === 'else' ? this.#body('endfor') : []
    return { kind: 'for', target, iterable, test, recursive, body, otherwise }
  }

  #if(): Statement {
    const branches: [Expression, Statement[]][] = []
    while (true) {
      branches.push([this.tuple({ withCondition: false }), this.#body('elif', 'else', 'endif')])
      const end = this.next().value
      if (end === 'elif') continue
      return { kind: 'if', branches, otherwise: end === 'else' ? this.#body('endif') : [] }
    }
  }

  #set(): Statement {
    const target = this.target([], true)
    if (this.skipOperator('=')) return { kind: 'set', target, value: this.tuple() }
    return { kind: 'set block', target, filter: this.#filters(false), body: this.#body('endset') }
  }

  #with(): Statement {
    const targets: Target[] = []
    const values: Expression[] = []
    while (this.token.type !== 'block end') {
      if (targets.length > 0) this.expectOperator(',')
      targets.push(this.target([]))
      this.expectOperator('=')
      values.push(this.expression())
    }
    return { kind: 'with', targets, values, body: this.#body('endwith') }
  }

  #macro(): Statement {
    const name = this.name()
    const signature = this.#signature()
    return { kind: 'macro', name, ...signature, body: this.#body('endmacro') }
  }

  #callBlock(): Statement {
    const signature = this.isOperator('(') ? this.#signature() : { parameters: [], defaults: [] }
    const { line } = this.token
    const call = this.expression()
    if (call.kind !== 'call') throw syntaxError('expected call', line)
    return { kind: 'call block', call, ...signature, body: this.#body('endcall') }
  }

  #signature(): Signature {
    const parameters: string[] = []
    const defaults: Expression[] = []
    this.expectOperator('(')
    while (!this.isOperator(')')) {
      if (parameters.length > 0) this.expectOperator(',')
      parameters.push(this.name())
      if (this.skipOperator('=')) defaults.push(this.expression())
      else if (defaults.length > 0) throw syntaxError('non-default argument follows default argument', this.token.line)
    }
    this.expectOperator(')')
    return { parameters, defaults }
  }

  /** Filters of a block: `upper | trim`. The first one without a bar in `{% filter upper %}`. */
  #filters(startsWithName: boolean): FilterNode | undefined {
    let filter: FilterNode | undefined
    for (let first = startsWithName; first || this.skipOperator('|'); first = false) {
      const name = this.dottedName()
      const args = this.isOperator('(') ? this.callArguments() : noArguments
      filter = { kind: 'filter', operand: filter, name, args }
    }
    return filter
  }

  #print(): Statement {
    const parts: Expression[] = []
    while (this.token.type !== 'block end') {
      if (parts.length > 0) this.expectOperator(',')
      parts.push(this.expression())
    }
    return { kind: 'output', parts }
  }

  #block(): Statement {
    const name = this.name()
    const scoped = this.skipName('scoped')
    if (this.skipName('required')) throw this.unsupported('{% block ... required %}')
    if (this.isOperator('-')) throw syntaxError('Block names may not contain hyphens', this.token.line)
    const body = this.#body('endblock')
    this.skipName(name)
    return { kind: 'block', name, scoped, body }
  }

  #include(): Statement {
    const template = this.expression()
    if (this.isName('ignore') && this.ahead().value === 'missing') this.skip(2)
    this.#context()
    return { kind: 'load', tag: 'include', template, names: [] }
  }

  #import(): Statement {
    const template = this.expression()
    this.expectName('as')
    const names = [this.name()]
    this.#context()
    return { kind: 'load', tag: 'import', template, names }
  }

  #from(): Statement {
    const template = this.expression()
    this.expectName('import')
    const names: string[] = []
    do {
      if (names.length > 0 && this.#context()) break
      const name = this.name()
      if (name.startsWith('_')) throw syntaxError('names starting with an underline can not be imported', this.token.line)
      names.push(this.skipName('as') ? this.name() : name)
    } while (!this.#context() && this.skipOperator(','))
    return { kind: 'load', tag: 'from', template, names }
  }

  #context(): boolean {
    const isContext = (this.isName('with') || this.isName('without')) && this.ahead().value === 'context'
    if (isContext) this.skip(2)
    return isContext
  }
}
