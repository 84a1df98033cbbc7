/** `@huggingface/jinja`, as far as we use it. Typed here, since its own types do not resolve under Node's rules. */
import * as library from '@huggingface/jinja'

/** A node of a parsed template. `type` decides what other fields there are. */
export interface TemplateNode {
  readonly type: string
}

/** A value while a template runs: text, number, boolean, list, map, function, none or undefined. */
export interface TemplateValue {
  readonly type: string
  readonly value: unknown
}

export interface TemplateScope {
  /** Turns a JavaScript value into a template's and names it. Functions get plain values and may return such. */
  set(name: string, value: unknown): TemplateValue
}

export interface TemplateInterpreter {
  run(program: TemplateNode): TemplateValue
  evaluate(node: TemplateNode | undefined, scope: TemplateScope): TemplateValue
}

interface JinjaLibrary {
  readonly Environment: new () => TemplateScope
  readonly Interpreter: new (scope: TemplateScope) => TemplateInterpreter
  tokenize(source: string, options: { lstrip_blocks: boolean; trim_blocks: boolean }): unknown[]
  parse(tokens: unknown[]): TemplateNode
}

export const { Environment, Interpreter, tokenize, parse } = library as unknown as JinjaLibrary

/** A JavaScript value as a template's. */
export const templateValue = (value: unknown): TemplateValue => new Environment().set('value', value)

// The nodes that we look into, as the library's ast.ts has them.

export interface Identifier extends TemplateNode {
  readonly value: string
}

export interface Call extends TemplateNode {
  readonly callee: TemplateNode
  readonly args: readonly TemplateNode[]
}

/** `object.property`, or `object[property]` where computed. */
export interface Member extends TemplateNode {
  readonly object: TemplateNode
  readonly property: TemplateNode
  readonly computed: boolean
}

export interface Filter extends TemplateNode {
  readonly operand: TemplateNode
  readonly filter: Identifier | Call
}

/** `{% filter upper %} ... {% endfilter %}` */
export interface FilterBlock extends TemplateNode {
  readonly filter: Identifier | Call
  readonly body: readonly TemplateNode[]
}

export interface Binary extends TemplateNode {
  readonly operator: { readonly value: string }
  readonly left: TemplateNode
  readonly right: TemplateNode
}

export interface For extends TemplateNode {
  readonly iterable: TemplateNode
}

/** `lhs if test`: in a loop's head, the items to take. */
export interface Select extends TemplateNode {
  readonly lhs: TemplateNode
}

export interface KeywordArgument extends TemplateNode {
  readonly key: Identifier
  readonly value: TemplateNode
}
