/** A parsed template: jinja2's nodes (jinja2/nodes.py), as far as we run them. */
import type { BinaryOperator } from './arithmetic.ts'
import type { Comparison } from './comparing.ts'
import type { Value } from './values.ts'

export type Expression =
  | { readonly kind: 'constant'; readonly value: Value }
  | { readonly kind: 'name'; readonly name: string }
  | { readonly kind: 'list'; readonly items: readonly Expression[] }
  | { readonly kind: 'tuple'; readonly items: readonly Expression[] }
  | { readonly kind: 'dict'; readonly entries: readonly (readonly [Expression, Expression])[] }
  | { readonly kind: 'binary'; readonly operator: BinaryOperator; readonly left: Expression; readonly right: Expression }
  | { readonly kind: 'logic'; readonly operator: 'and' | 'or'; readonly left: Expression; readonly right: Expression }
  | { readonly kind: 'unary'; readonly operator: '+' | '-' | 'not'; readonly operand: Expression }
  | { readonly kind: 'compare'; readonly first: Expression; readonly rest: readonly (readonly [Comparison, Expression])[] }
  | { readonly kind: 'concat'; readonly parts: readonly Expression[] }
  | {
      readonly kind: 'condition'
      readonly test: Expression
      readonly whenTrue: Expression
      readonly otherwise: Expression | undefined
    }
  | { readonly kind: 'attribute'; readonly object: Expression; readonly name: string }
  | { readonly kind: 'item'; readonly object: Expression; readonly key: Expression }
  | SliceNode
  | CallNode
  | FilterNode
  | { readonly kind: 'test'; readonly operand: Expression; readonly name: string; readonly args: ArgumentNodes }

export interface SliceNode {
  readonly kind: 'slice'
  readonly object: Expression
  readonly bounds: readonly (Expression | undefined)[]
}

export interface CallNode {
  readonly kind: 'call'
  readonly callee: Expression
  readonly args: ArgumentNodes
}

/** Without an operand where it filters a block. */
export interface FilterNode {
  readonly kind: 'filter'
  readonly operand: Expression | undefined
  readonly name: string
  readonly args: ArgumentNodes
}

export interface ArgumentNodes {
  readonly positional: readonly Expression[]
  readonly named: readonly (readonly [string, Expression])[]
  /** `*list` and `**dict`. */
  readonly list: Expression | undefined
  readonly dict: Expression | undefined
}

/** Where a value is stored. */
export type Target =
  | { readonly kind: 'store'; readonly name: string }
  | { readonly kind: 'store attribute'; readonly name: string; readonly attribute: string }
  | { readonly kind: 'store tuple'; readonly items: readonly Target[] }

export interface Signature {
  readonly parameters: readonly string[]
  /** Of the last parameters. */
  readonly defaults: readonly Expression[]
}

export interface MacroNode extends Signature {
  readonly kind: 'macro'
  readonly name: string
  readonly body: readonly Statement[]
}

export interface CallBlock extends Signature {
  readonly kind: 'call block'
  /** Undefined for `{% generation %}`, which hands its body on. */
  readonly call: CallNode | undefined
  readonly body: readonly Statement[]
}

export interface ForNode {
  readonly kind: 'for'
  readonly target: Target
  readonly iterable: Expression
  readonly test: Expression | undefined
  readonly recursive: boolean
  readonly body: readonly Statement[]
  readonly otherwise: readonly Statement[]
}

export type Statement =
  | { readonly kind: 'output'; readonly parts: readonly Expression[] }
  | {
      readonly kind: 'if'
      readonly branches: readonly (readonly [Expression, readonly Statement[]])[]
      readonly otherwise: readonly Statement[]
    }
  | ForNode
  | { readonly kind: 'set'; readonly target: Target; readonly value: Expression }
  | {
      readonly kind: 'set block'
      readonly target: Target
      readonly filter: FilterNode | undefined
      readonly body: readonly Statement[]
    }
  | {
      readonly kind: 'with'
      readonly targets: readonly Target[]
      readonly values: readonly Expression[]
      readonly body: readonly Statement[]
    }
  | { readonly kind: 'filter block'; readonly filter: FilterNode; readonly body: readonly Statement[] }
  | MacroNode
  | CallBlock
  | { readonly kind: 'block'; readonly name: string; readonly scoped: boolean; readonly body: readonly Statement[] }
  | {
      readonly kind: 'load'
      readonly tag: 'include' | 'import' | 'from' | 'extends'
      readonly template: Expression
      readonly names: readonly string[]
    }
  | { readonly kind: 'jump'; readonly to: 'break' | 'continue' }
