/** Macros, and the callers that `{% call %}` blocks make (jinja2/runtime.py, `Macro`). */
import { undeclared } from './checks.ts'
import { typeError } from './errors.ts'
import { evaluate } from './evaluate.ts'
import type { Signature, Statement } from './nodes.ts'
import type { Runtime } from './runtime.ts'
import type { Scope } from './scope.ts'
import { type Text, text } from './text.ts'
import { type Arguments, Callable, Dict, Tuple, Undefined, type Value } from './values.ts'

/** Runs a body in a new scope inside `outer`, which `prepare` fills first. */
export type RunBody = (body: readonly Statement[], outer: Scope, prepare: (scope: Scope) => void) => Text

interface Definition extends Signature {
  /** Undefined for a caller. */
  readonly name: string | undefined
  readonly body: readonly Statement[]
}

const specialNames = ['caller', 'kwargs', 'varargs']

/** Which special names each body reads; a macro may be defined many times over. */
const specialOf = new WeakMap<readonly Statement[], ReadonlySet<string>>()

function specialIn(body: readonly Statement[]): ReadonlySet<string> {
  const special = specialOf.get(body) ?? undeclared(body, specialNames)
  specialOf.set(body, special)
  return special
}

export function defineMacro(definition: Definition, outer: Scope, runBody: RunBody): Callable {
  const { name, parameters, body } = definition
  const special = specialIn(body)
  const takes = (parameter: string): boolean => special.has(parameter) && !parameters.includes(parameter)
  const shown = name === undefined ? 'None' : `'${name}'`

  const run = (runtime: Runtime, args: Arguments): Value => {
    runtime.budget.spend(8)
    const bound = bind(definition, args, shown, { caller: takes('caller'), kwargs: takes('kwargs'), varargs: takes('varargs') })
    return runBody(body, outer, (scope) => {
      // Before their turn parameters are undefined, also where outer scopes have such a name.
      for (const parameter of parameters) scope.hide(parameter)
      for (const [i, parameter] of parameters.entries()) {
        scope.set(parameter, bound.has(parameter) ? bound.get(parameter)! : defaultOf(runtime, definition, i, scope))
      }
      for (const parameter of specialNames)
        if (bound.has(parameter) && takes(parameter)) scope.set(parameter, bound.get(parameter)!)
    })
  }
  return new Callable(name ?? 'caller', run, name === undefined ? '<Macro anonymous>' : `<Macro ${shown}>`, {
    name: name === undefined ? null : text(name),
    arguments: new Tuple(parameters.map(text)),
    catch_kwargs: takes('kwargs'),
    catch_varargs: takes('varargs'),
    caller: takes('caller'),
    explicit_caller: parameters.includes('caller'),
  })
}

function defaultOf(runtime: Runtime, { parameters, defaults }: Definition, index: number, scope: Scope): Value {
  const expression = defaults[index - (parameters.length - defaults.length)]
  return expression ? evaluate(runtime, expression, scope) : new Undefined(`parameter '${parameters[index]}' was not provided`)
}

function bind(
  { parameters }: Definition,
  { positional, named }: Arguments,
  shown: string,
  takes: { readonly caller: boolean; readonly kwargs: boolean; readonly varargs: boolean },
): Map<string, Value> {
  const bound = new Map(
    parameters.map((parameter, i) => [parameter, positional[i]]).filter(([, value]) => value !== undefined) as [string, Value][],
  )
  const rest = new Map(named)
  for (const parameter of parameters.slice(positional.length)) {
    if (rest.has(parameter)) bound.set(parameter, rest.get(parameter)!)
    rest.delete(parameter)
  }
  const callerIsBound = parameters.includes('caller')
  if (takes.caller && !callerIsBound) {
    bound.set('caller', rest.get('caller') ?? new Undefined('No caller defined'))
    rest.delete('caller')
  }
  if (takes.kwargs) bound.set('kwargs', Dict.of([...rest].map(([key, value]) => [text(key), value])))
  else if (rest.size > 0) throw typeError(`macro ${shown} takes no keyword argument '${[...rest.keys()][0]}'`)
  if (takes.varargs) bound.set('varargs', new Tuple(positional.slice(parameters.length)))
  else if (positional.length > parameters.length)
    throw typeError(`macro ${shown} takes not more than ${parameters.length} argument(s)`)
  return bound
}
