/**
 * What jinja2 knows of names before a template runs (jinja2/idtracking.py). A name that a scope stores before it reads it is
 * undefined there until it is stored, even where the caller gave a variable of that name.
 */
import type { ArgumentNodes, Expression, FilterNode, Statement, Target } from './nodes.ts'

/** Bodies of scopes, and the names that begin undefined there. */
export type HiddenNames = ReadonlyMap<readonly Statement[], readonly string[]>

type Load = 'parameter' | 'outer' | 'context' | 'undefined'

class Symbols {
  readonly parent: Symbols | undefined
  readonly loads: Map<string, Load>
  readonly stores: Set<string>

  constructor(parent?: Symbols, loads?: ReadonlyMap<string, Load>, stores?: ReadonlySet<string>) {
    this.parent = parent
    this.loads = new Map(loads)
    this.stores = new Set(stores)
  }

  knows(name: string): boolean {
    return this.loads.has(name) || (this.parent?.knows(name) ?? false)
  }

  load(name: string): void {
    if (!this.knows(name)) this.loads.set(name, 'context')
  }

  store(name: string): void {
    this.stores.add(name)
    if (!this.loads.has(name)) this.loads.set(name, this.parent?.knows(name) ? 'outer' : 'undefined')
  }

  declare(name: string): void {
    this.stores.add(name)
    this.loads.set(name, 'parameter')
  }

  /** Takes in what the branches of an `if` know. What only some of them store may come from outside. */
  merge(branches: readonly Symbols[]): void {
    const stored = new Set(branches.flatMap((branch) => [...branch.stores]))
    for (const name of this.stores) stored.delete(name)
    for (const branch of branches) {
      for (const [name, load] of branch.loads) this.loads.set(name, load)
      for (const name of branch.stores) this.stores.add(name)
    }
    for (const name of stored) this.loads.set(name, this.parent?.knows(name) ? 'outer' : 'context')
  }
}

export function hiddenNames(template: readonly Statement[]): HiddenNames {
  const hidden = new Map<readonly Statement[], readonly string[]>()
  new ScopeReader(hidden).read(template, new Symbols())
  return hidden
}

class ScopeReader {
  readonly #hidden: Map<readonly Statement[], readonly string[]>

  constructor(hidden: Map<readonly Statement[], readonly string[]>) {
    this.#hidden = hidden
  }

  /** Reads a scope, then those inside it: they look names up in all of it. */
  read(body: readonly Statement[], symbols: Symbols): void {
    for (const statement of body) this.#statement(statement, symbols)
    const names = [...symbols.loads].filter(([, load]) => load === 'undefined').map(([name]) => name)
    if (names.length > 0) this.#hidden.set(body, names)
    for (const statement of body) this.#inner(statement, symbols)
  }

  #statement(statement: Statement, symbols: Symbols): void {
    switch (statement.kind) {
      case 'output':
        for (const part of statement.parts) load(part, symbols)
        return
      case 'if':
        this.#if(statement.branches, statement.otherwise, symbols)
        return
      case 'for':
        load(statement.iterable, symbols)
        return
      case 'set':
        load(statement.value, symbols)
        store(statement.target, symbols)
        return
      case 'set block':
        store(statement.target, symbols)
        return
      case 'with':
        for (const value of statement.values) load(value, symbols)
        return
      case 'filter block':
        loadFilter(statement.filter, symbols)
        return
      case 'macro':
        symbols.store(statement.name)
        return
      case 'call block':
        if (statement.call) load(statement.call, symbols)
        return
      case 'load':
        load(statement.template, symbols)
        for (const name of statement.names) symbols.store(name)
        return
      case 'block':
      case 'jump':
        return
    }
  }

  #if(
    branches: readonly (readonly [Expression, readonly Statement[]])[],
    otherwise: readonly Statement[],
    symbols: Symbols,
  ): void {
    const copy = (): Symbols => new Symbols(symbols.parent, symbols.loads, symbols.stores)
    const [[test, body] = [undefined, []], ...more] = branches
    if (test) load(test, symbols)
    const first = copy()
    for (const statement of body) this.#statement(statement, first)
    // All of the `elif` are read one after another, each as an `if` of its own.
    const second = copy()
    for (const branch of more) this.#if([branch], [], second)
    const last = copy()
    for (const statement of otherwise) this.#statement(statement, last)
    symbols.merge([first, second, last])
  }

  /** Scopes inside a statement. */
  #inner(statement: Statement, symbols: Symbols): void {
    const scope = (): Symbols => new Symbols(symbols)
    switch (statement.kind) {
      case 'if':
        for (const [, body] of statement.branches) for (const each of body) this.#inner(each, symbols)
        for (const each of statement.otherwise) this.#inner(each, symbols)
        return
      case 'for': {
        const inner = scope()
        inner.declare('loop')
        declare(statement.target, inner)
        this.read(statement.body, inner)
        if (statement.otherwise.length > 0) this.read(statement.otherwise, scope())
        return
      }
      case 'with': {
        const inner = scope()
        for (const target of statement.targets) declare(target, inner)
        this.read(statement.body, inner)
        return
      }
      case 'macro':
      case 'call block': {
        const inner = scope()
        for (const name of [...statement.parameters, 'caller', 'kwargs', 'varargs']) inner.declare(name)
        for (const each of statement.defaults) load(each, inner)
        this.read(statement.body, inner)
        return
      }
      case 'set block':
      case 'filter block':
        this.read(statement.body, scope())
        return
      case 'block':
        this.read(statement.body, new Symbols())
        return
      default:
        return
    }
  }
}

function declare(target: Target, symbols: Symbols): void {
  if (target.kind === 'store') symbols.declare(target.name)
  else if (target.kind === 'store tuple') for (const item of target.items) declare(item, symbols)
}

function store(target: Target, symbols: Symbols): void {
  if (target.kind === 'store') symbols.store(target.name)
  else if (target.kind === 'store attribute') symbols.load(target.name)
  else for (const item of target.items) store(item, symbols)
}

function loadFilter({ operand, args }: FilterNode, symbols: Symbols): void {
  if (operand) load(operand, symbols)
  loadArguments(args, symbols)
}

function loadArguments({ positional, named, list, dict }: ArgumentNodes, symbols: Symbols): void {
  for (const each of positional) load(each, symbols)
  for (const [, each] of named) load(each, symbols)
  if (list) load(list, symbols)
  if (dict) load(dict, symbols)
}

/** Every name in an expression. */
function load(expression: Expression, symbols: Symbols): void {
  if (expression.kind === 'name') {
    symbols.load(expression.name)
    return
  }
  if (expression.kind === 'constant') return
  for (const child of children(expression)) load(child, symbols)
}

/** Expressions right inside another, in the order that jinja2 visits them. */
export function children(expression: Expression): readonly Expression[] {
  switch (expression.kind) {
    case 'constant':
    case 'name':
      return []
    case 'list':
    case 'tuple':
      return expression.items
    case 'dict':
      return expression.entries.flat()
    case 'binary':
    case 'logic':
      return [expression.left, expression.right]
    case 'unary':
      return [expression.operand]
    case 'compare':
      return [expression.first, ...expression.rest.map(([, each]) => each)]
    case 'concat':
      return expression.parts
    case 'condition':
      return [expression.test, expression.whenTrue, ...(expression.otherwise ? [expression.otherwise] : [])]
    case 'attribute':
      return [expression.object]
    case 'item':
      return [expression.object, expression.key]
    case 'slice':
      return [expression.object, ...expression.bounds.filter((bound) => bound !== undefined)]
    case 'call':
      return [expression.callee, ...argumentChildren(expression.args)]
    case 'filter':
      return [...(expression.operand ? [expression.operand] : []), ...argumentChildren(expression.args)]
    case 'test':
      return [expression.operand, ...argumentChildren(expression.args)]
  }
}

const argumentChildren = ({ positional, named, list, dict }: ArgumentNodes): Expression[] => [
  ...positional,
  ...named.map(([, each]) => each),
  ...(list ? [list] : []),
  ...(dict ? [dict] : []),
]
