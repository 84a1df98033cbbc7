/** What jinja2's compiler refuses before a template runs, and what macros read without declaring it (jinja2/compiler.py). */
import { PythonError } from './errors.ts'
import { isFilter } from './filters/index.ts'
import type { Expression, ForNode, Statement, Target } from './nodes.ts'
import { children } from './symbols.ts'
import { isTest } from './tests.ts'

const refuse = (message: string) => new PythonError('TemplateSyntaxError', message)

interface Place {
  /** Filters and tests in an `if` may be unknown, as long as they do not run. */
  readonly inCondition: boolean
  readonly inLoop: boolean
  readonly atTop: boolean
  /** Filters beside jinja2's own. */
  readonly filters: readonly string[]
}

/** @throws TemplateSyntaxError for unknown filters and tests, jumps outside of loops and the like */
export function checkTemplate(template: readonly Statement[], filters: readonly string[] = []): void {
  const blocks = blockNames(template)
  const twice = blocks.find((name, i) => blocks.indexOf(name) !== i)
  if (twice !== undefined) throw refuse(`block '${twice}' defined twice`)
  checkBody(template, { inCondition: false, inLoop: false, atTop: true, filters })
}

export const blockNames = (body: readonly Statement[]): string[] =>
  body.flatMap((statement) => [...(statement.kind === 'block' ? [statement.name] : []), ...bodies(statement).flatMap(blockNames)])

export function bodies(statement: Statement): readonly (readonly Statement[])[] {
  if (statement.kind === 'if') return [...statement.branches.map(([, body]) => body), statement.otherwise]
  if (statement.kind === 'for') return [statement.body, statement.otherwise]
  return 'body' in statement ? [statement.body] : []
}

/** Expressions right in a statement, not in its bodies. */
export function expressions(statement: Statement): readonly Expression[] {
  switch (statement.kind) {
    case 'output':
      return statement.parts
    case 'if':
      return statement.branches.map(([test]) => test)
    case 'for':
      return [statement.iterable, ...(statement.test ? [statement.test] : [])]
    case 'set':
      return [statement.value]
    case 'set block':
      return statement.filter ? [statement.filter] : []
    case 'with':
      return statement.values
    case 'filter block':
      return [statement.filter]
    case 'macro':
      return statement.defaults
    case 'call block':
      return [...(statement.call ? [statement.call] : []), ...statement.defaults]
    case 'load':
      return [statement.template]
    default:
      return []
  }
}

function checkBody(body: readonly Statement[], place: Place): void {
  for (const statement of body) checkStatement(statement, place)
}

function checkStatement(statement: Statement, place: Place): void {
  const inCondition = place.inCondition || statement.kind === 'if'
  for (const expression of expressions(statement)) checkExpression(expression, inCondition, place.filters)
  const inner = { ...place, inCondition: false, atTop: false }
  switch (statement.kind) {
    case 'if':
      for (const each of bodies(statement)) checkBody(each, { ...place, inCondition: true })
      return
    case 'for':
      checkLoopName(statement)
      checkBody(statement.body, { ...inner, inLoop: true })
      checkBody(statement.otherwise, inner)
      return
    case 'macro':
    case 'call block':
      checkCaller(statement.parameters, statement.defaults.length, statement.body)
      checkBody(statement.body, { ...inner, inLoop: false })
      return
    case 'block':
      checkBody(statement.body, { ...inner, inLoop: false })
      return
    case 'jump':
      if (!place.inLoop) throw refuse(`'${statement.to}' outside loop`)
      return
    case 'load':
      if (statement.tag === 'extends' && !place.atTop) throw refuse('cannot use extend from a non top-level scope')
      return
    default:
      for (const each of bodies(statement)) checkBody(each, inner)
  }
}

function checkExpression(expression: Expression, inCondition: boolean, filters: readonly string[]): void {
  if (expression.kind === 'filter' && !inCondition && !isFilter(expression.name) && !filters.includes(expression.name))
    throw refuse(`No filter named '${expression.name}'.`)
  if (expression.kind === 'test' && !inCondition && !isTest(expression.name)) throw refuse(`No test named '${expression.name}'.`)
  const isInner = inCondition || expression.kind === 'condition'
  for (const child of children(expression)) checkExpression(child, isInner, filters)
}

function checkLoopName(loop: ForNode): void {
  if (stores(loop.target, 'loop') || storesIn([...loop.body, ...loop.otherwise], 'loop')) {
    throw refuse("Can't assign to special loop variable in for-loop target")
  }
}

const storesIn = (body: readonly Statement[], name: string): boolean =>
  body.some(
    (statement) =>
      targets(statement).some((target) => stores(target, name)) || bodies(statement).some((inner) => storesIn(inner, name)),
  )

function targets(statement: Statement): readonly Target[] {
  if (statement.kind === 'with') return statement.targets
  return statement.kind === 'for' || statement.kind === 'set' || statement.kind === 'set block' ? [statement.target] : []
}

function stores(target: Target, name: string): boolean {
  if (target.kind === 'store tuple') return target.items.some((item) => stores(item, name))
  return target.kind === 'store' && target.name === name
}

function checkCaller(parameters: readonly string[], defaults: number, body: readonly Statement[]): void {
  const index = parameters.indexOf('caller')
  if (index >= 0 && index < parameters.length - defaults && undeclared(body, ['caller']).has('caller')) {
    throw refuse('When defining macros or call blocks the special "caller" argument must be omitted or be given a default.')
  }
}

/** Which of `names` are read in a body before they are stored in it. */
export function undeclared(body: readonly Statement[], names: readonly string[]): ReadonlySet<string> {
  const open = new Set(names)
  const found = new Set<string>()
  const visitExpression = (expression: Expression): void => {
    if (expression.kind === 'name' && open.has(expression.name)) found.add(expression.name)
    for (const child of children(expression)) visitExpression(child)
  }
  const visitTarget = (target: Target): void => {
    if (target.kind === 'store') open.delete(target.name)
    else if (target.kind === 'store tuple') for (const item of target.items) visitTarget(item)
  }
  const visit = (statements: readonly Statement[]): void => {
    for (const statement of statements) {
      if (statement.kind === 'block') continue
      for (const target of targets(statement)) visitTarget(target)
      if (statement.kind === 'macro' || statement.kind === 'call block')
        for (const parameter of statement.parameters) open.delete(parameter)
      for (const expression of expressions(statement)) visitExpression(expression)
      for (const inner of bodies(statement)) visit(inner)
    }
  }
  visit(body)
  return found
}
