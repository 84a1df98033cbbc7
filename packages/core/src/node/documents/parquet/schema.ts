/** The tree of a file's columns (github.com/apache/parquet-format, src/main/thrift/parquet.thrift). */
import { asStruct, asText, numberIn, structIn, type ThriftStruct, type ThriftValue } from './thrift.ts'

export const physicalTypes = ['BOOLEAN', 'INT32', 'INT64', 'INT96', 'FLOAT', 'DOUBLE', 'BYTE_ARRAY', 'FIXED'] as const
export type PhysicalType = (typeof physicalTypes)[number]

export interface Leaf {
  /** Among the leaves of the file: each group of rows has its chunks in this order. */
  readonly index: number
  readonly type: PhysicalType
  /** Bytes of a FIXED value. */
  readonly width: number
  readonly meaning: 'text' | 'json' | 'unsigned' | 'raw'
}

export interface SchemaNode {
  readonly name: string
  readonly repetition: 'required' | 'optional' | 'repeated'
  /** Definition level from which on it is there, repetition level at which it comes again. */
  readonly definition: number
  readonly repetitions: number
  /** Columns above it. */
  readonly depth: number
  readonly shape: 'leaf' | 'group' | 'list' | 'map'
  readonly children: readonly SchemaNode[]
  readonly leaf?: Leaf
  /** All leaves below. */
  readonly leaves: readonly SchemaNode[]
}

/** Deepest columns that are read; levels of more bits than 8 do not occur then. */
const maxDepth = 64

/** The columns of the file. @throws Error for a tree that is none */
export function readSchema(elements: readonly ThriftValue[]): SchemaNode[] {
  let at = 0
  let leaves = 0
  const next = (): ThriftStruct => {
    const element = asStruct(elements[at++])
    if (!element) throw new Error(`its schema has ${elements.length} elements, which name more as their children`)
    return element
  }
  const childrenOf = (element: ThriftStruct, definition: number, repetitions: number, depth: number): SchemaNode[] => {
    if (depth > maxDepth) throw new Error(`columns are nested more than ${maxDepth} deep`)
    const nodes: SchemaNode[] = []
    for (let i = numberIn(element, 5) ?? 0; i > 0; i--) nodes.push(nodeOf(next(), definition, repetitions, depth))
    return nodes
  }
  const nodeOf = (element: ThriftStruct, above: number, repeatedAbove: number, depth: number): SchemaNode => {
    const repetition = (['required', 'optional', 'repeated'] as const)[numberIn(element, 3) ?? 0]
    if (!repetition) throw new Error(`a column is repeated in the unknown way ${numberIn(element, 3)}`)
    const definition = above + (repetition === 'required' ? 0 : 1)
    const repetitions = repeatedAbove + (repetition === 'repeated' ? 1 : 0)
    const node = { name: asText(element.fields[4]), repetition, definition, repetitions, depth }
    const isLeaf = !numberIn(element, 5)
    if (!isLeaf) {
      const children = childrenOf(element, definition, repetitions, depth + 1)
      return { ...node, shape: shapeOf(element, children), children, leaves: children.flatMap((child) => child.leaves) }
    }
    const leaf = { ...node, shape: 'leaf' as const, children: [], leaf: leafOf(element, leaves++), leaves: [] as SchemaNode[] }
    leaf.leaves.push(leaf)
    return leaf
  }
  const columns = childrenOf(next(), 0, 0, 0)
  if (at !== elements.length) throw new Error(`its schema has ${elements.length} elements, ${at} of them in its tree`)
  return columns
}

const converted = { utf8: 0, map: 1, mapKeyValue: 2, list: 3, decimal: 5, uint32: 13, uint64: 14, json: 19, bson: 20 }
const logical = { map: 2, list: 3, decimal: 5, json: 12, bson: 13 }

function leafOf(element: ThriftStruct, index: number): Leaf {
  const type = physicalTypes[numberIn(element, 1) ?? -1]
  if (!type) throw new Error(`a column is of the unknown type ${numberIn(element, 1)}`)
  const width = numberIn(element, 2) ?? 0
  if (type === 'FIXED' && !(width > 0)) throw new Error(`a column's values have ${width} bytes`)
  const is = (name: keyof typeof converted & keyof typeof logical) =>
    numberIn(element, 6) === converted[name] || structIn(element, 10)?.fields[logical[name]] !== undefined
  const isUnsigned = numberIn(element, 6) === converted.uint32 || numberIn(element, 6) === converted.uint64
  const bytesMeaning = is('json') ? 'json' : is('decimal') || is('bson') ? 'raw' : 'text'
  return { index, type, width, meaning: type === 'BYTE_ARRAY' ? bytesMeaning : isUnsigned ? 'unsigned' : 'raw' }
}

/** Lists and maps are groups of a certain form (LogicalTypes.md); groups that only say they are one stay groups. */
function shapeOf(element: ThriftStruct, children: readonly SchemaNode[]): 'group' | 'list' | 'map' {
  const [child] = children
  if (children.length !== 1 || child?.repetition !== 'repeated') return 'group'
  const kind = numberIn(element, 6)
  const type = structIn(element, 10)
  if (kind === converted.list || type?.fields[logical.list] !== undefined) return 'list'
  const isMap = kind === converted.map || kind === converted.mapKeyValue || type?.fields[logical.map] !== undefined
  return isMap && child.children.length === 2 ? 'map' : 'group'
}
