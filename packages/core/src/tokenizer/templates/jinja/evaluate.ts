/** Evaluates expressions. Every node costs; what can cost more is charged where it is done. */
import { getAttribute, getItem, isSliceable, slice } from './access.ts'
import { binary, negate, positive } from './arithmetic.ts'
import { compare } from './comparing.ts'
import { notSupported, typeError } from './errors.ts'
import { callFilter, isFilter } from './filters/index.ts'
import { itemsOf } from './iterate.ts'
import type { ArgumentNodes, CallNode, Expression, FilterNode, SliceNode } from './nodes.ts'
import { stringOf } from './printing.ts'
import type { Runtime } from './runtime.ts'
import type { Scope } from './scope.ts'
import { children } from './symbols.ts'
import { callTest } from './tests.ts'
import { Text, TextParts } from './text.ts'
import { type Arguments, Callable, Dict, Thing, Tuple, truthy, typeName, Undefined, type Value } from './values.ts'

export function evaluate(runtime: Runtime, node: Expression, scope: Scope): Value {
  const { budget } = runtime
  budget.spend(1)
  if (node.kind === 'constant') return node.value
  if (node.kind === 'name') return lookUp(node.name, scope)
  budget.enter()
  const value = operation(runtime, node, scope)
  budget.leave()
  return value
}

function lookUp(name: string, scope: Scope): Value {
  const value = scope.get(name)
  if (value !== undefined) return value
  if (name === 'super') throw notSupported('the variable super')
  return new Undefined(`'${name}' is undefined`)
}

function operation(runtime: Runtime, node: Exclude<Expression, { kind: 'constant' | 'name' }>, scope: Scope): Value {
  const value = (expression: Expression): Value => evaluate(runtime, expression, scope)
  switch (node.kind) {
    case 'list':
      return node.items.map(value)
    case 'tuple':
      return new Tuple(node.items.map(value))
    case 'dict':
      return Dict.of(node.entries.map(([key, entry]) => [value(key), value(entry)] as const))
    case 'binary':
      return binary(runtime, node.operator, value(node.left), value(node.right))
    case 'logic': {
      const left = value(node.left)
      return truthy(left) === (node.operator === 'and') ? value(node.right) : left
    }
    case 'unary': {
      const operand = value(node.operand)
      if (node.operator === 'not') return !truthy(operand)
      return node.operator === '-' ? negate(operand) : positive(operand)
    }
    case 'compare': {
      let left = value(node.first)
      for (const [operator, expression] of node.rest) {
        const right = value(expression)
        if (!compare(runtime, operator, left, right)) return false
        left = right
      }
      return true
    }
    case 'concat':
      return concatenate(runtime, node.parts.map(value))
    case 'condition':
      if (truthy(value(node.test))) return value(node.whenTrue)
      return node.otherwise
        ? value(node.otherwise)
        : new Undefined('the inline if-expression evaluated to false and no else section was defined.')
    case 'attribute':
      return getAttribute(runtime, value(node.object), node.name)
    case 'item':
      return getItem(runtime, value(node.object), value(node.key))
    case 'slice':
      return sliceOf(runtime, node, scope)
    case 'call':
      return call(runtime, node, scope)
    case 'filter':
      return filter(runtime, node, value(node.operand!), scope)
    case 'test': {
      const operand = value(node.operand)
      const { positional, named } = evaluateArguments(runtime, node.args, scope)
      return callTest(runtime, node.name, { positional: [operand, ...positional], named }, isFilter)
    }
  }
}

function sliceOf(runtime: Runtime, node: SliceNode, scope: Scope): Value {
  const object = evaluate(runtime, node.object, scope)
  const bounds = node.bounds.map((bound) => bound && evaluate(runtime, bound, scope))
  // Of constants jinja2 makes something undefined before the template runs, depending on what is around them.
  if (!isSliceable(object) && isConstant(node.object)) throw notSupported('slicing a constant that has no parts')
  return slice(runtime, object, bounds)
}

/** What jinja2 may work out beforehand; of `and`, `or` and `if` the parts that do not count may be anything. */
function isConstant(expression: Expression): boolean {
  if (expression.kind === 'name' || expression.kind === 'call') return false
  if (expression.kind === 'logic') return isConstant(expression.left)
  if (expression.kind === 'condition') {
    return (
      isConstant(expression.test) &&
      (isConstant(expression.whenTrue) || !expression.otherwise || isConstant(expression.otherwise))
    )
  }
  return children(expression).every(isConstant)
}

/** `a ~ b ~ c` */
function concatenate(runtime: Runtime, values: readonly Value[]): Text {
  const parts = new TextParts()
  for (const value of values) {
    const part = stringOf(runtime, value)
    runtime.budget.make(part.value.length + 2 * part.spans.length)
    parts.push(part)
  }
  if (parts.length > 1 << 20) runtime.budget.make(parts.length)
  return parts.text()
}

/** @param operand what is filtered; for a chain without an operand, what the first of its filters gets */
export function filter(runtime: Runtime, node: FilterNode, operand: Value, scope: Scope): Value {
  const { positional, named } = evaluateArguments(runtime, node.args, scope)
  return callFilter(runtime, node.name, { positional: [operand, ...positional], named })
}

/** @param caller the macro of a `{% call %}` block */
export function call(runtime: Runtime, node: CallNode, scope: Scope, caller?: Value): Value {
  const callee = evaluate(runtime, node.callee, scope)
  const args = evaluateArguments(runtime, node.args, scope)
  if (caller === undefined) return callValue(runtime, callee, args)
  if (args.named.has('caller')) throw typeError("got multiple values for keyword argument 'caller'")
  return callValue(runtime, callee, { ...args, named: new Map([...args.named, ['caller', caller]]) })
}

function callValue(runtime: Runtime, callee: Value, args: Arguments): Value {
  if (callee instanceof Undefined) callee.fail()
  const run = callee instanceof Callable || callee instanceof Thing ? callee.call : undefined
  if (!run) throw typeError(`'${typeName(callee)}' object is not callable`)
  return run.call(callee, runtime, args)
}

function evaluateArguments(runtime: Runtime, { positional, named, list, dict }: ArgumentNodes, scope: Scope): Arguments {
  const values = positional.map((expression) => evaluate(runtime, expression, scope))
  if (list) values.push(...itemsOf(runtime, evaluate(runtime, list, scope)))
  const byName = new Map(named.map(([key, expression]) => [key, evaluate(runtime, expression, scope)]))
  if (dict) addNamed(evaluate(runtime, dict, scope), byName)
  return { positional: values, named: byName }
}

function addNamed(mapping: Value, byName: Map<string, Value>): void {
  if (!(mapping instanceof Dict)) throw typeError(`argument after ** must be a mapping, not ${typeName(mapping)}`)
  for (const [key, value] of mapping.entries()) {
    if (!(key instanceof Text)) throw typeError('keywords must be strings')
    if (byName.has(key.value)) throw typeError(`got multiple values for keyword argument '${key.value}'`)
    byName.set(key.value, value)
  }
}
