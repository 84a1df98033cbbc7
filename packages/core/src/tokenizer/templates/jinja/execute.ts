/** Runs statements: writes a template's text. */
import { blockNames, undeclared } from './checks.ts'
import { notSupported, PythonError, runtimeError, typeError, valueError } from './errors.ts'
import { call, evaluate, filter } from './evaluate.ts'
import { iterate } from './iterate.ts'
import { defineMacro, type RunBody } from './macro.ts'
import type { CallBlock, FilterNode, ForNode, Statement, Target } from './nodes.ts'
import { stringOf } from './printing.ts'
import type { Runtime } from './runtime.ts'
import { Scope } from './scope.ts'
import type { HiddenNames } from './symbols.ts'
import { Text, TextParts } from './text.ts'
import { Loop, Namespace, TemplateReference } from './things.ts'
import { Dict, Iter, iteratorOf, noArguments, sequenceItems, Tuple, truthy, typeName, type Value } from './values.ts'

type Jump = 'break' | 'continue' | undefined

export class Execution {
  readonly #runtime: Runtime
  readonly #hidden: HiddenNames

  constructor(runtime: Runtime, hidden: HiddenNames) {
    this.#runtime = runtime
    this.#hidden = hidden
  }

  run(template: readonly Statement[], variables: Scope): Text {
    const out = new TextParts()
    const scope = this.#scope(template, variables, true)
    if (undeclared(template, ['self']).size > 0) scope.set('self', new TemplateReference(blockNames(template)))
    this.#run(template, scope, out)
    return out.text()
  }

  #scope(body: readonly Statement[], outer: Scope, isTop = false): Scope {
    const scope = new Scope(outer, isTop)
    scope.begin(this.#hidden.get(body))
    return scope
  }

  /** Of statements that end in a jump, the jump. */
  #run(body: readonly Statement[], scope: Scope, out: TextParts): Jump {
    for (const statement of body) {
      this.#runtime.budget.spend(1)
      const jump = this.#statement(statement, scope, out)
      if (jump) return jump
    }
    return undefined
  }

  #nested(body: readonly Statement[], scope: Scope, out: TextParts): Jump {
    this.#runtime.budget.enter()
    const jump = this.#run(body, scope, out)
    this.#runtime.budget.leave()
    return jump
  }

  #write(value: Value, out: TextParts): void {
    const part = stringOf(this.#runtime, value)
    const { budget } = this.#runtime
    budget.spend((part.value.length + part.spans.length) / 64)
    if (out.length + part.value.length > 1 << 20) budget.checkLength(out.length + part.value.length)
    out.push(part)
  }

  /** Blocks write what they make without turning it into text. */
  #writeText(value: Value, out: TextParts): void {
    if (!(value instanceof Text)) throw typeError(`sequence item 0: expected str instance, ${typeName(value)} found`)
    this.#write(value, out)
  }

  #statement(statement: Statement, scope: Scope, out: TextParts): Jump {
    switch (statement.kind) {
      case 'output':
        for (const part of statement.parts) this.#write(evaluate(this.#runtime, part, scope), out)
        return undefined
      case 'if': {
        const branch = statement.branches.find(([test]) => truthy(evaluate(this.#runtime, test, scope)))
        return this.#nested(branch ? branch[1] : statement.otherwise, scope, out)
      }
      case 'for':
        return this.#for(statement, scope, out)
      case 'set':
        this.#checkNamespaces(statement.target, scope)
        this.#store(statement.target, evaluate(this.#runtime, statement.value, scope), scope)
        return undefined
      case 'set block': {
        const inner = this.#scope(statement.body, scope)
        const [made, jump] = this.#capture(statement.body, inner)
        if (jump) return jump
        this.#checkNamespaces(statement.target, scope)
        this.#store(statement.target, statement.filter ? this.#filtered(statement.filter, made, inner) : made, scope)
        return undefined
      }
      case 'filter block': {
        const inner = this.#scope(statement.body, scope)
        const [made, jump] = this.#capture(statement.body, inner)
        if (!jump) this.#writeText(this.#filtered(statement.filter, made, inner), out)
        return jump
      }
      case 'with': {
        const values = statement.values.map((value) => evaluate(this.#runtime, value, scope))
        const inner = this.#scope(statement.body, scope)
        for (const [i, target] of statement.targets.entries()) this.#store(target, values[i]!, inner)
        return this.#nested(statement.body, inner, out)
      }
      case 'macro':
        scope.set(statement.name, defineMacro(statement, scope, this.#runBody))
        return undefined
      case 'call block':
        this.#writeText(this.#callBlock(statement, scope), out)
        return undefined
      case 'block':
        return this.#nested(statement.body, this.#scope(statement.body, statement.scoped ? scope : scope.top), out)
      case 'load':
        evaluate(this.#runtime, statement.template, scope)
        throw new PythonError(
          'TypeError',
          `no loader for this environment specified: {% ${statement.tag} %} cannot find a template`,
        )
      case 'jump':
        return statement.to
    }
  }

  #capture(body: readonly Statement[], scope: Scope): [Text, Jump] {
    const captured = new TextParts()
    const jump = this.#nested(body, scope, captured)
    return [captured.text(), jump]
  }

  #filtered(node: FilterNode, value: Value, scope: Scope): Value {
    const operand = node.operand ? this.#filtered(node.operand as FilterNode, value, scope) : value
    return filter(this.#runtime, node, operand, scope)
  }

  readonly #runBody: RunBody = (body, outer, prepare) => {
    const scope = this.#scope(body, outer)
    prepare(scope)
    return this.#capture(body, scope)[0]
  }

  #callBlock(block: CallBlock, scope: Scope): Value {
    const caller = defineMacro({ ...block, name: undefined }, scope, this.#runBody)
    return block.call ? call(this.#runtime, block.call, scope, caller) : caller.call(this.#runtime, noArguments)
  }

  #for(loop: ForNode, scope: Scope, out: TextParts): Jump {
    const items = evaluate(this.#runtime, loop.iterable, scope)
    if (!loop.recursive) return this.#loop(loop, items, scope, out, 0)
    const rendered = new TextParts()
    const jump = this.#loop(loop, items, scope, rendered, 0)
    if (!jump) this.#write(rendered.text(), out)
    return jump
  }

  /** A jump out of the `else` branch; those of the body end here. */
  #loop(node: ForNode, items: Value, outer: Scope, out: TextParts, depth: number): Jump {
    const { budget } = this.#runtime
    if (!iteratorOf(items)) throw typeError(`'${typeName(items)}' object is not iterable`)
    budget.spend(8)
    const wanted = node.test ? new Iter(this.#wanted(node, items, outer)) : items
    const recurse = (inner: Value, innerDepth: number): Value => {
      const rendered = new TextParts()
      budget.enter()
      this.#loop(node, inner, outer, rendered, innerDepth)
      budget.leave()
      return rendered.text()
    }
    const loop = new Loop(this.#runtime, wanted, iterate(this.#runtime, wanted), depth, node.recursive ? recurse : undefined)
    const scope = new Scope(outer)
    const hidden = this.#hidden.get(node.body)
    let isDone = false
    for (let item = loop.next(); item !== undefined; item = loop.next()) {
      budget.spend(2)
      scope.begin(hidden)
      scope.set('loop', loop)
      this.#store(node.target, item, scope)
      const jump = this.#nested(node.body, scope, out)
      if (jump === 'break') break
      // As in jinja2, only a turn that comes to its end keeps `else` away.
      isDone ||= jump === undefined
    }
    scope.begin()
    return isDone || node.otherwise.length === 0
      ? undefined
      : this.#nested(node.otherwise, this.#scope(node.otherwise, outer), out)
  }

  /** Items that the loop's own `if` takes, unpacked and packed again. */
  *#wanted(node: ForNode, items: Value, outer: Scope): Generator<Value> {
    const scope = new Scope(outer)
    for (const item of iterate(this.#runtime, items)) {
      scope.begin()
      this.#store(node.target, item, scope)
      if (truthy(evaluate(this.#runtime, node.test!, scope))) yield packed(node.target, item, scope)
    }
  }

  #checkNamespaces(target: Target, scope: Scope): void {
    if (target.kind === 'store tuple') for (const item of target.items) this.#checkNamespaces(item, scope)
    if (target.kind !== 'store attribute') return
    const value = scope.get(target.name)
    if (value instanceof Namespace) return
    if (value instanceof Dict) throw notSupported('storing into a dict')
    throw runtimeError('cannot assign attribute on non-namespace object')
  }

  #store(target: Target, value: Value, scope: Scope): void {
    if (target.kind === 'store') {
      scope.set(target.name, value)
      return
    }
    if (target.kind === 'store attribute') {
      ;(scope.get(target.name) as Namespace).set(target.attribute, value)
      return
    }
    const items =
      sequenceItems(value) ?? (iteratorOf(value) ? firstItems(this.#runtime, value, target.items.length + 1) : undefined)
    if (!items) throw typeError(`cannot unpack non-iterable ${typeName(value)} object`)
    if (items.length !== target.items.length) {
      throw valueError(
        `${items.length < target.items.length ? 'not enough' : 'too many'} values to unpack (expected ${target.items.length})`,
      )
    }
    for (const [i, item] of target.items.entries()) this.#store(item, items[i]!, scope)
  }
}

function firstItems(runtime: Runtime, value: Value, count: number): Value[] {
  const items: Value[] = []
  for (const item of iterate(runtime, value)) {
    items.push(item)
    if (items.length === count) break
  }
  return items
}

function packed(target: Target, item: Value, scope: Scope): Value {
  if (target.kind === 'store tuple') return new Tuple(target.items.map((each) => packed(each, item, scope)))
  return target.kind === 'store' ? scope.get(target.name)! : item
}
