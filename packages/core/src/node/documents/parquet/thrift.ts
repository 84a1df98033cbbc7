/** Thrift's compact protocol, in which Parquet keeps its structures (github.com/apache/thrift, doc/specs/thrift-compact-protocol.md). */

export type ThriftValue = boolean | number | Uint8Array | ThriftStruct | readonly ThriftValue[]
/** Values by the number of their field. */
export type ThriftStruct = { readonly fields: readonly (ThriftValue | undefined)[] }

/** Deepest nesting of structures; real files need eight. */
const maxDepth = 32
/** Fields of higher numbers are passed over. Parquet's structures have no more than 17. */
const maxField = 20

/** A structure ends behind the bytes there are: more of them may help. */
export class ThriftEnd extends Error {}

/**
 * The structure at the beginning of the bytes, and how many of them it takes. Numbers of 64 bits lose what does not fit in a double.
 *
 * @throws ThriftEnd, and Error for what is no structure
 */
export function readStruct(bytes: Uint8Array): { readonly struct: ThriftStruct; readonly length: number } {
  let at = 0
  const byte = (): number => {
    if (at >= bytes.length) throw new ThriftEnd('a structure ends early')
    return bytes[at++]!
  }
  const varint = (): number => {
    let value = 0
    for (let scale = 1; ; scale *= 128) {
      const next = byte()
      value += (next & 127) * scale
      if (next < 128) return value
      if (scale > 2 ** 63) throw new Error('an integer has too many bytes')
    }
  }
  const take = (length: number): Uint8Array => {
    if (length > bytes.length - at) throw new ThriftEnd(`a value of ${length} bytes lies in ${bytes.length - at}`)
    at += length
    return bytes.subarray(at - length, at)
  }
  const struct = (depth: number): ThriftStruct => {
    if (depth > maxDepth) throw new Error(`structures are nested more than ${maxDepth} deep`)
    const fields: ThriftValue[] = []
    for (let field = 0, head = byte(); (head & 15) !== 0; head = byte()) {
      field = head >> 4 ? field + (head >> 4) : unzigzag(varint())
      const value = element(head & 15, depth)
      if (field >= 0 && field <= maxField) fields[field] = value
    }
    return { fields }
  }
  const element = (type: number, depth: number): ThriftValue => {
    if (type === 1 || type === 2) return type === 1
    if (type === 3) return byte()
    if (type === 4 || type === 5 || type === 6) return unzigzag(varint())
    if (type === 7) return take(8)
    if (type === 8) return take(varint())
    if (type === 9) return list(depth + 1)
    if (type === 12) return struct(depth + 1)
    throw new Error(`a value is of the unknown type ${type}`)
  }
  const list = (depth: number): ThriftValue[] => {
    if (depth > maxDepth) throw new Error(`structures are nested more than ${maxDepth} deep`)
    const head = byte()
    const size = head >> 4 === 15 ? varint() : head >> 4
    if (size > bytes.length - at) throw new ThriftEnd(`a list of ${size} lies in ${bytes.length - at} bytes`)
    const type = head & 15
    const values: ThriftValue[] = []
    // In a list a boolean is a byte.
    for (let i = 0; i < size; i++) values.push(element(type === 1 || type === 2 ? 3 : type, depth))
    return values
  }
  return { struct: struct(0), length: at }
}

const unzigzag = (value: number): number => (value % 2 === 0 ? value / 2 : -(value + 1) / 2)

export const numberIn = (struct: ThriftStruct, field: number): number | undefined => {
  const value = struct.fields[field]
  return typeof value === 'number' ? value : undefined
}

export const structIn = (struct: ThriftStruct, field: number): ThriftStruct | undefined => asStruct(struct.fields[field])

export const listIn = (struct: ThriftStruct, field: number): readonly ThriftValue[] => {
  const value = struct.fields[field]
  return Array.isArray(value) ? (value as readonly ThriftValue[]) : []
}

export const asStruct = (value: ThriftValue | undefined): ThriftStruct | undefined =>
  typeof value === 'object' && 'fields' in value ? value : undefined

export const asText = (value: ThriftValue | undefined): string =>
  value instanceof Uint8Array ? new TextDecoder().decode(value) : ''

/** A size or count. @throws Error where it is missing or below 0 */
export function countIn(struct: ThriftStruct, field: number, what: string): number {
  const value = numberIn(struct, field)
  if (value === undefined || !(value >= 0)) throw new Error(`${what} is ${value ?? 'missing'}`)
  return value
}
