/**
 * Runs chat templates with `@huggingface/jinja`, but within a budget. Every step of the library's interpreter passes
 * through `evaluate`. Where an operation can do more work than one step, its operands are evaluated first, what it will
 * cost is charged, and the library is given the operation with its operands replaced by their values.
 */
import { checkpointError, isParscaleError, unsupportedError } from '../../errors.ts'
import { maxDepth, maxTemplateChars, maxWhitespaceRun, type TemplateBudget, templateBudget, templateLimit } from './budget.ts'
import { type Argument, chargeBinary, chargeFilter, chargeMethod, sizeOf, textOf } from './costs.ts'
import { templateGlobals } from './globals.ts'
import {
  type Binary,
  type Call,
  type Filter,
  type FilterBlock,
  type For,
  type Identifier,
  Interpreter,
  type KeywordArgument,
  type Member,
  parse,
  type Select,
  type TemplateNode,
  type TemplateScope,
  type TemplateValue,
  templateValue,
  tokenize,
} from './jinja-library.ts'
import { countNodes, outputNodes } from './nodes.ts'
import { isStrip, strip } from './python-text.ts'

export interface CompiledTemplate {
  /** @throws checkpoint error when the template fails or takes too much; usage error when it rejects the messages */
  render(variables: Readonly<Record<string, unknown>>): string
}

/** @throws checkpoint error for a template that is no Jinja, or larger than any chat template */
export function compileTemplate(source: string): CompiledTemplate {
  if (source.length > maxTemplateChars) {
    throw templateLimit(`it has ${source.length} characters; the limit is ${maxTemplateChars}`)
  }
  if (new RegExp(`\\s{${maxWhitespaceRun}}`).test(source)) {
    throw templateLimit(`it has ${maxWhitespaceRun} or more white-space characters in a row`)
  }
  // Whitespace control as transformers sets it (utils/chat_template_utils.py, `_compile_jinja_template`).
  const program = explain(() => parse(tokenize(source, { trim_blocks: true, lstrip_blocks: true })))
  const outputs = outputNodes(program)
  return {
    render(variables) {
      const budget = templateBudget()
      return explain(() => {
        const scope = templateGlobals(budget)
        for (const [name, value] of Object.entries(variables)) scope.set(name, value)
        return textOf(new BoundedInterpreter(scope, budget, outputs).run(program)) ?? ''
      })
    },
  }
}

/** A node that is its value already. */
interface Settled extends TemplateNode {
  readonly type: 'Settled'
  readonly value: TemplateValue
}
const settled = (value: TemplateValue): Settled => ({ type: 'Settled', value })

/** The library throws an exception inside for each of these. */
const unknownNameUnits = 8
const jumpUnits = 64

class BoundedInterpreter extends Interpreter {
  readonly #budget: TemplateBudget
  readonly #outputs: WeakSet<object>
  #depth = 0

  constructor(scope: TemplateScope, budget: TemplateBudget, outputs: WeakSet<object>) {
    super(scope)
    this.#budget = budget
    this.#outputs = outputs
  }

  override evaluate(node: TemplateNode | undefined, scope: TemplateScope): TemplateValue {
    if (!node) return super.evaluate(node, scope)
    this.#budget.spend(1)
    if (this.#depth >= maxDepth) throw templateLimit(`it is nested, or calls itself, more than ${maxDepth} deep`)
    this.#depth++
    try {
      const value = this.#operation(node, scope)
      const text = textOf(value)
      if (text !== undefined) this.#budget.pass(text.length)
      else if (value.type === 'UndefinedValue') this.#budget.spend(unknownNameUnits)
      else if (this.#outputs.has(node)) this.#budget.write(value)
      return value
    } finally {
      this.#depth--
    }
  }

  #operation(node: TemplateNode, scope: TemplateScope): TemplateValue {
    switch (node.type) {
      case 'Settled':
        return (node as Settled).value
      case 'FilterExpression':
        return this.#filter(node as Filter, scope)
      case 'FilterStatement': {
        const { filter, body } = node as FilterBlock
        const operand = { type: 'If', test: settled(templateValue(true)), body, alternate: [] }
        return this.#filter({ type: 'FilterExpression', operand, filter } as Filter, scope)
      }
      case 'CallExpression':
        return this.#call(node as Call, scope)
      case 'MemberExpression':
        return this.#member(node as Member, scope)
      case 'BinaryExpression':
        return this.#binary(node as Binary, scope)
      case 'For':
        return this.#for(node as For, scope)
      case 'Break':
      case 'Continue':
        this.#budget.spend(jumpUnits)
        return super.evaluate(node, scope)
      case 'Macro':
      case 'CallStatement':
        // The library walks all of a macro's body to define it.
        this.#budget.spend(countNodes(node))
        return super.evaluate(node, scope)
      default:
        return super.evaluate(node, scope)
    }
  }

  #filter(node: Filter, scope: TemplateScope): TemplateValue {
    const operand = this.evaluate(node.operand, scope)
    const call = node.filter.type === 'CallExpression' ? (node.filter as Call) : undefined
    const name = ((call?.callee ?? node.filter) as Identifier).value
    const { nodes, values } = this.#arguments(call?.args ?? [], scope)
    chargeFilter(this.#budget, name, operand, values)
    const text = textOf(operand)
    if (name === 'trim' && text !== undefined) return templateValue(strip(text, 'strip', textOf(values[0]?.value)))
    const filter = call ? { ...call, args: nodes } : node.filter
    return super.evaluate({ ...node, operand: settled(operand), filter } as Filter, scope)
  }

  #call(node: Call, scope: TemplateScope): TemplateValue {
    if (node.callee.type !== 'MemberExpression') return super.evaluate(node, scope)
    const callee = node.callee as Member
    const object = this.evaluate(callee.object, scope)
    const property = callee.computed ? settled(this.evaluate(callee.property, scope)) : (callee.property as Identifier)
    const name = property.type === 'Settled' ? textOf((property as Settled).value) : (property as Identifier).value
    const { nodes, values } = this.#arguments(node.args, scope)
    chargeMethod(this.#budget, name ?? '', object, values)
    const text = textOf(object)
    if (text !== undefined && name !== undefined && isStrip(name)) {
      return templateValue(strip(text, name, textOf(values[0]?.value)))
    }
    // The method must be looked up by the library itself: our own look-up, below, gives methods out only to be tested for.
    const method = super.evaluate({ ...callee, object: settled(object), property } as Member, scope)
    return super.evaluate({ ...node, callee: settled(method), args: nodes } as Call, scope)
  }

  #member(node: Member, scope: TemplateScope): TemplateValue {
    const object = this.evaluate(node.object, scope)
    if (node.property.type === 'SliceExpression') this.#budget.spend(textOf(object)?.length ?? sizeOf(object))
    const value = super.evaluate({ ...node, object: settled(object) } as Member, scope)
    const isMethod = value.type === 'FunctionValue' && object.type !== 'NamespaceValue'
    return isMethod ? templateValue(refuseToRun) : value
  }

  #binary(node: Binary, scope: TemplateScope): TemplateValue {
    const operator = node.operator.value
    if (operator === 'and' || operator === 'or') return super.evaluate(node, scope)
    const left = this.evaluate(node.left, scope)
    const right = this.evaluate(node.right, scope)
    chargeBinary(this.#budget, operator, left, right)
    return super.evaluate({ ...node, left: settled(left), right: settled(right) } as Binary, scope)
  }

  #for(node: For, scope: TemplateScope): TemplateValue {
    const select = node.iterable.type === 'SelectExpression' ? (node.iterable as Select) : undefined
    const items = this.evaluate(select?.lhs ?? node.iterable, scope)
    this.#budget.spend(8 * sizeOf(items))
    const iterable = select ? { ...select, lhs: settled(items) } : settled(items)
    return super.evaluate({ ...node, iterable } as For, scope)
  }

  /** Arguments evaluated: as nodes for the library, and as values. String literals stay, since some filters insist on them. */
  #arguments(args: readonly TemplateNode[], scope: TemplateScope): { nodes: TemplateNode[]; values: Argument[] } {
    const nodes: TemplateNode[] = []
    const values: Argument[] = []
    for (const argument of args) {
      const keyword = argument.type === 'KeywordArgumentExpression' ? (argument as KeywordArgument) : undefined
      if (argument.type.endsWith('SpreadExpression')) {
        throw unsupportedError('chat template: * and ** in the arguments of a filter or method are not supported')
      }
      const value = this.evaluate(keyword?.value ?? argument, scope)
      values.push({ name: keyword?.key.value, value })
      const node = argument.type === 'StringLiteral' ? argument : settled(value)
      nodes.push(keyword ? ({ ...keyword, value: node } as KeywordArgument) : node)
    }
    return { nodes, values }
  }
}

/** Methods are charged where they are named and called at once; held in a variable they could run for free. */
function refuseToRun(): never {
  throw unsupportedError('chat template: a method has to be called where it is named')
}

/** Runs the library and says what its errors mean. */
function explain<T>(work: () => T): T {
  try {
    return work()
  } catch (cause) {
    if (isParscaleError(cause)) throw cause
    if (cause instanceof RangeError) throw templateLimit(`it is nested too deep or makes a text too long (${cause.message})`)
    if (cause instanceof TypeError) {
      throw checkpointError(`chat template: it ends too early, or takes a value for what it is not (${cause.message})`, { cause })
    }
    const reason = (cause instanceof Error && cause.message) || 'break or continue outside of a loop'
    throw checkpointError(`chat template: ${reason}`, { file: 'chat template', cause })
  }
}
