/** Schemas of several tools, compiled into one table. */
import { isParscaleError, ParscaleError } from '../../../errors.ts'
import { type Budget, limits, type Pieces, tooMuch } from '../limits.ts'
import { compileSchema } from './compile-schema.ts'
import type { ValueNode, Values } from './values.ts'

/** Several schemas with names, in one table of nodes: `roots` are theirs. Errors name the schema. They share the budget. */
export function* compileSchemas(
  schemas: readonly { readonly name: string; readonly schema: unknown }[],
  budget: Budget,
): Pieces<{ values: Values; roots: number[] }> {
  const nodes: ValueNode[] = []
  const shortest: number[] = []
  const roots: number[] = []
  for (const { name, schema } of schemas) {
    const compiled = yield* named(name, compileSchema(schema, budget))
    const shift = nodes.length
    const moved = (node: number): number => (node < 0 ? node : node + shift)
    for (const { objects, arrays, ...node } of compiled.nodes) {
      nodes.push({
        ...node,
        objects: objects.map((object) => ({ ...object, id: object.id + shift * idsPerNode, nodes: object.nodes.map(moved) })),
        arrays: arrays.map((array) => ({
          ...array,
          id: array.id + shift * idsPerNode,
          first: array.first.map(moved),
          rest: moved(array.rest),
        })),
      })
    }
    shortest.push(...compiled.shortest)
    roots.push(compiled.root + shift)
    if (nodes.length > limits.nodes) throw tooMuch('the tools', 'kinds of values', limits.nodes)
  }
  return { values: { nodes, root: -1, shortest: Float64Array.from(shortest) }, roots }
}

/** Objects or arrays of a node are at most so many. */
const idsPerNode = limits.alternatives * 256

function* named<T>(name: string, work: Pieces<T>): Pieces<T> {
  try {
    return yield* work
  } catch (error) {
    if (isParscaleError(error)) throw new ParscaleError(error.kind, `${name}: ${error.message}`, error.facts)
    throw error
  }
}
