/** ajv as the judge of what a schema allows. */
import { Ajv2019 } from 'ajv/dist/2019.js'
import addFormats, { type FormatName } from 'ajv-formats'

/** Formats that are checked; others are annotations, for ajv too. */
const formats: FormatName[] = [
  'date',
  'time',
  'date-time',
  'duration',
  'email',
  'hostname',
  'ipv4',
  'ipv6',
  'uuid',
  'uri',
  'uri-reference',
  'json-pointer',
]

// As we do: by code points, but as lenient with escapes as without the flag.
const regExp = Object.assign(
  (pattern: string, flags: string) => {
    try {
      return new RegExp(pattern, flags)
    } catch {
      return new RegExp(pattern)
    }
  },
  { code: 'new RegExp' },
)

/** Undefined where ajv cannot read the schema. */
export function judge(schema: unknown): ((data: unknown) => boolean) | undefined {
  const ajv = new Ajv2019({ strict: false, logger: false, validateSchema: false, addUsedSchema: false, code: { regExp } })
  addFormats.default(ajv, formats)
  try {
    const validate = ajv.compile(inNewWords(schema) as object)
    return (data) => validate(data) as boolean
  } catch {
    return undefined
  }
}

/** Draft 4's switches of exclusive bounds are numbers since draft 6, and prefixItems of draft 2020 are items of 2019. */
function inNewWords(schema: unknown, isRoot = true): unknown {
  if (Array.isArray(schema)) return schema.map((each) => inNewWords(each, false))
  if (typeof schema !== 'object' || schema === null) return schema
  const result: Record<string, unknown> = {}
  for (const [key, value] of Object.entries(schema)) {
    // With ajv's own `$async`, its answer would be a promise.
    if (isRoot && (key === '$schema' || key === '$id' || key === '$async')) continue
    if (key === 'id' && typeof value === 'string') continue
    Object.defineProperty(result, key, { value: inNewWords(value, false), enumerable: true, configurable: true, writable: true })
  }
  for (const [exclusive, bound] of [
    ['exclusiveMinimum', 'minimum'],
    ['exclusiveMaximum', 'maximum'],
  ] as const) {
    if (typeof result[exclusive] !== 'boolean') continue
    const isExclusive = result[exclusive]
    delete result[exclusive]
    if (!isExclusive || typeof result[bound] !== 'number') continue
    result[exclusive] = result[bound]
    delete result[bound]
  }
  if (Array.isArray(result.prefixItems)) {
    if (result.items !== undefined) result.additionalItems = result.items
    result.items = result.prefixItems
    delete result.prefixItems
  }
  return result
}
