/** Tokens to expressions, as jinja2/parser.py. From loosest to tightest: if, or, and, not, comparisons, + -, ~, * / // %, **, sign. */
import { maxDepth, templateLimit } from '../budget.ts'
import type { BinaryOperator } from './arithmetic.ts'
import type { Comparison } from './comparing.ts'
import { notSupported } from './errors.ts'
import { syntaxError, type Token, type TokenType } from './lexer.ts'
import type { ArgumentNodes, Expression, Target } from './nodes.ts'
import { text } from './text.ts'

const constants: Readonly<Record<string, null | boolean>> = {
  true: true,
  True: true,
  false: false,
  False: false,
  none: null,
  None: null,
}
const comparisons: ReadonlySet<string> = new Set(['==', '!=', '<', '<=', '>', '>='])

interface TupleOptions {
  readonly withCondition?: boolean
  /** Names that end it. */
  readonly ends?: readonly string[]
  /** In parentheses, where `()` is one. */
  readonly mayBeEmpty?: boolean
}

export class ExpressionParser {
  readonly #tokens: readonly Token[]
  #at = 0
  #depth = 0

  constructor(tokens: readonly Token[]) {
    this.#tokens = tokens
  }

  get token(): Token {
    return this.#tokens[this.#at]!
  }

  ahead(): Token {
    return this.#tokens[Math.min(this.#at + 1, this.#tokens.length - 1)]!
  }

  next(): Token {
    const token = this.token
    if (token.type !== 'end') this.#at++
    return token
  }

  skip(count: number): void {
    for (let i = 0; i < count; i++) this.next()
  }

  expect(type: TokenType): Token {
    if (this.token.type !== type) throw this.#unexpected(type)
    return this.next()
  }

  isOperator = (operator: string): boolean => this.token.type === 'operator' && this.token.value === operator
  isName = (name: string): boolean => this.token.type === 'name' && this.token.value === name

  skipOperator(operator: string): boolean {
    const found = this.isOperator(operator)
    if (found) this.next()
    return found
  }

  skipName(name: string): boolean {
    const found = this.isName(name)
    if (found) this.next()
    return found
  }

  expectOperator(operator: string): void {
    if (!this.skipOperator(operator)) throw this.#unexpected(operator)
  }

  expectName(name: string): void {
    if (!this.skipName(name)) throw this.#unexpected(name)
  }

  name = (): string => this.expect('name').value

  #unexpected(expected: string): Error {
    const { type, value, line } = this.token
    if (type === 'end') return syntaxError(`unexpected end of template, expected '${expected}'`, line)
    return syntaxError(`expected token '${expected}', got '${value}'`, line)
  }

  unsupported(what: string): Error {
    return notSupported(`${what} (line ${this.token.line})`)
  }

  enter(): void {
    if (++this.#depth > maxDepth) throw templateLimit(`it is nested more than ${maxDepth} deep (line ${this.token.line})`)
  }

  leave(): void {
    this.#depth--
  }

  /** Where `{% for`, `{% set` and `{% with` store to: names and tuples of names. */
  target(ends: readonly string[], withNamespace = false): Target {
    const { line } = this.token
    const items: Target[] = []
    let isTuple = false
    while (items.length === 0 || this.skipOperator(',')) {
      if (items.length > 0) isTuple = true
      if (this.#isTupleEnd(ends)) break
      items.push(this.#targetItem(withNamespace))
      if (!this.isOperator(',')) break
    }
    if (isTuple) return { kind: 'store tuple', items }
    if (items.length === 0) throw syntaxError(`Expected an expression, got '${this.token.value}'`, line)
    return items[0]!
  }

  #targetItem(withNamespace: boolean): Target {
    const { line } = this.token
    if (withNamespace && this.token.type === 'name' && this.ahead().value === '.' && this.ahead().type === 'operator') {
      const name = this.name()
      this.next()
      return { kind: 'store attribute', name, attribute: this.name() }
    }
    return asTarget(this.#primary(), line)
  }

  expression(): Expression {
    this.enter()
    let value = this.#or()
    while (this.skipName('if')) {
      const test = this.#or()
      value = { kind: 'condition', test, whenTrue: value, otherwise: this.skipName('else') ? this.expression() : undefined }
    }
    this.leave()
    return value
  }

  tuple({ withCondition = true, ends = [], mayBeEmpty = false }: TupleOptions = {}): Expression {
    const items: Expression[] = []
    let isTuple = false
    while (true) {
      if (items.length > 0) this.expectOperator(',')
      if (this.#isTupleEnd(ends)) break
      items.push(withCondition ? this.expression() : this.#or())
      if (!this.isOperator(',')) break
      isTuple = true
    }
    if (isTuple || (items.length === 0 && mayBeEmpty)) return { kind: 'tuple', items }
    if (items.length === 0) throw syntaxError(`Expected an expression, got '${this.token.value}'`, this.token.line)
    return items[0]!
  }

  #isTupleEnd(ends: readonly string[]): boolean {
    const { type, value } = this.token
    return type === 'variable end' || type === 'block end' || this.isOperator(')') || (type === 'name' && ends.includes(value))
  }

  #or(): Expression {
    let left = this.#and()
    while (this.skipName('or')) left = { kind: 'logic', operator: 'or', left, right: this.#and() }
    return left
  }

  #and(): Expression {
    let left = this.#not()
    while (this.skipName('and')) left = { kind: 'logic', operator: 'and', left, right: this.#not() }
    return left
  }

  #not(): Expression {
    if (!this.skipName('not')) return this.#compare()
    this.enter()
    const operand = this.#not()
    this.leave()
    return { kind: 'unary', operator: 'not', operand }
  }

  #compare(): Expression {
    const first = this.#sum()
    const rest: [Comparison, Expression][] = []
    for (let comparison = this.#comparison(); comparison; comparison = this.#comparison()) rest.push([comparison, this.#sum()])
    return rest.length === 0 ? first : { kind: 'compare', first, rest }
  }

  #comparison(): Comparison | undefined {
    if (this.token.type === 'operator' && comparisons.has(this.token.value)) return this.next().value as Comparison
    if (this.skipName('in')) return 'in'
    if (!this.isName('not') || this.ahead().type !== 'name' || this.ahead().value !== 'in') return undefined
    this.skip(2)
    return 'not in'
  }

  #chain(operators: readonly BinaryOperator[], operand: () => Expression): Expression {
    let left = operand()
    while (this.token.type === 'operator' && (operators as readonly string[]).includes(this.token.value)) {
      const operator = this.next().value as BinaryOperator
      left = { kind: 'binary', operator, left, right: operand() }
    }
    return left
  }

  #sum = (): Expression => this.#chain(['+', '-'], this.#concat)

  #concat = (): Expression => {
    const parts = [this.#product()]
    while (this.skipOperator('~')) parts.push(this.#product())
    return parts.length === 1 ? parts[0]! : { kind: 'concat', parts }
  }

  #product = (): Expression => this.#chain(['*', '/', '//', '%'], this.#power)

  #power = (): Expression => this.#chain(['**'], () => this.#unary(true))

  #unary(withFilters: boolean): Expression {
    const sign = this.isOperator('-') ? '-' : this.isOperator('+') ? '+' : undefined
    let value: Expression
    if (sign) {
      this.enter()
      this.next()
      value = { kind: 'unary', operator: sign, operand: this.#unary(false) }
      this.leave()
    } else value = this.#primary()
    value = this.#postfix(value)
    return withFilters ? this.#filtersAndTests(value) : value
  }

  #primary(): Expression {
    const { type, value, line } = this.token
    if (type === 'name') {
      this.next()
      return Object.hasOwn(constants, value) ? { kind: 'constant', value: constants[value]! } : { kind: 'name', name: value }
    }
    if (type === 'string') {
      let joined = ''
      while (this.token.type === 'string') joined += this.next().value
      return { kind: 'constant', value: text(joined) }
    }
    if (type === 'integer' || type === 'float') {
      this.next()
      return { kind: 'constant', value: type === 'float' ? Number(value) : wholeNumber(value, line) }
    }
    if (this.skipOperator('(')) {
      const tuple = this.tuple({ mayBeEmpty: true })
      this.expectOperator(')')
      return tuple
    }
    if (this.skipOperator('[')) return { kind: 'list', items: this.#items(']', () => this.expression()) }
    if (this.skipOperator('{')) return { kind: 'dict', entries: this.#items('}', () => this.#entry()) }
    throw syntaxError(`unexpected '${value}'`, line)
  }

  #items<T>(close: string, read: () => T): T[] {
    const items: T[] = []
    while (!this.isOperator(close)) {
      if (items.length > 0) this.expectOperator(',')
      if (this.isOperator(close)) break
      items.push(read())
    }
    this.expectOperator(close)
    return items
  }

  #entry(): readonly [Expression, Expression] {
    const key = this.expression()
    this.expectOperator(':')
    return [key, this.expression()]
  }

  #postfix(start: Expression): Expression {
    let value = start
    while (true) {
      if (this.skipOperator('.')) value = this.#attribute(value)
      else if (this.skipOperator('[')) value = this.#subscript(value)
      else if (this.isOperator('(')) value = { kind: 'call', callee: value, args: this.callArguments() }
      else return value
    }
  }

  #filtersAndTests(start: Expression): Expression {
    let value = start
    while (true) {
      if (this.skipOperator('|')) {
        const name = this.dottedName()
        const args = this.isOperator('(') ? this.callArguments() : emptyArguments
        value = { kind: 'filter', operand: value, name, args }
      } else if (this.skipName('is')) value = this.#test(value)
      else if (this.isOperator('(')) value = { kind: 'call', callee: value, args: this.callArguments() }
      else return value
    }
  }

  #attribute(object: Expression): Expression {
    const { type, value, line } = this.next()
    if (type === 'name') return { kind: 'attribute', object, name: value }
    if (type !== 'integer') throw syntaxError('expected name or number', line)
    return { kind: 'item', object, key: { kind: 'constant', value: wholeNumber(value, line) } }
  }

  #subscript(object: Expression): Expression {
    const keys: (Expression | readonly (Expression | undefined)[])[] = []
    while (!this.isOperator(']')) {
      if (keys.length > 0) this.expectOperator(',')
      keys.push(this.#subscribed())
    }
    this.expectOperator(']')
    const [key] = keys
    if (keys.length === 1)
      return isBounds(key!) ? { kind: 'slice', object, bounds: key } : { kind: 'item', object, key: key as Expression }
    if (keys.some(isBounds)) throw this.unsupported('a slice among other subscripts')
    return { kind: 'item', object, key: { kind: 'tuple', items: keys as Expression[] } }
  }

  #subscribed(): Expression | readonly (Expression | undefined)[] {
    const first = this.isOperator(':') ? undefined : this.expression()
    if (first && !this.isOperator(':')) return first
    const bounds: (Expression | undefined)[] = [first]
    while (bounds.length < 3 && this.skipOperator(':')) {
      const isOpen = this.isOperator(':') || this.isOperator(']') || this.isOperator(',')
      bounds.push(isOpen ? undefined : this.expression())
    }
    return bounds
  }

  dottedName(): string {
    let name = this.name()
    while (this.skipOperator('.')) name += `.${this.name()}`
    return name
  }

  #test(operand: Expression): Expression {
    const negated = this.skipName('not')
    const name = this.dottedName()
    const test: Expression = { kind: 'test', operand, name, args: this.#testArguments() }
    return negated ? { kind: 'unary', operator: 'not', operand: test } : test
  }

  #testArguments(): ArgumentNodes {
    if (this.isOperator('(')) return this.callArguments()
    const { type, value, line } = this.token
    const isValue = ['name', 'string', 'integer', 'float'].includes(type) || this.isOperator('[') || this.isOperator('{')
    if (!isValue || (type === 'name' && ['else', 'or', 'and'].includes(value))) return emptyArguments
    if (type === 'name' && value === 'is') throw syntaxError('You cannot chain multiple tests with is', line)
    return { ...emptyArguments, positional: [this.#postfix(this.#primary())] }
  }

  callArguments(): ArgumentNodes {
    const { line } = this.token
    const positional: Expression[] = []
    const named: [string, Expression][] = []
    let list: Expression | undefined
    let dict: Expression | undefined
    const ensure = (holds: boolean): void => {
      if (!holds) throw syntaxError('invalid syntax for function call expression', line)
    }
    this.expectOperator('(')
    for (let isFirst = true; !this.isOperator(')'); isFirst = false) {
      if (!isFirst) {
        this.expectOperator(',')
        if (this.isOperator(')')) break
      }
      if (this.skipOperator('*')) {
        ensure(!list && !dict)
        list = this.expression()
      } else if (this.skipOperator('**')) {
        ensure(!dict)
        dict = this.expression()
      } else if (this.token.type === 'name' && this.ahead().type === 'operator' && this.ahead().value === '=') {
        ensure(!dict)
        const key = this.name()
        this.next()
        ensure(!named.some(([other]) => other === key))
        named.push([key, this.expression()])
      } else {
        ensure(!list && !dict && named.length === 0)
        positional.push(this.expression())
      }
    }
    this.expectOperator(')')
    return { positional, named, list, dict }
  }
}

const emptyArguments: ArgumentNodes = { positional: [], named: [], list: undefined, dict: undefined }

const isBounds = (key: Expression | readonly (Expression | undefined)[]): key is readonly (Expression | undefined)[] =>
  Array.isArray(key)

function wholeNumber(digits: string, line: number): bigint {
  if (digits.length > 4300) throw syntaxError('Exceeds the limit (4300 digits) for integer string conversion', line)
  return BigInt(digits)
}

function asTarget(value: Expression, line: number): Target {
  if (value.kind === 'name') return { kind: 'store', name: value.name }
  if (value.kind === 'tuple') return { kind: 'store tuple', items: value.items.map((item) => asTarget(item, line)) }
  throw syntaxError(`can't assign to '${value.kind}'`, line)
}
