/**
 * Which runs a sweep has: the product of its axes, then the seeds. Pure: values are not looked into here, and a run's name follows
 * from the sweep alone, so that every worker knows it without asking.
 */

/** What a value of an axis may be in YAML: one value, or several keys at once. */
export type AxisValue = string | number | boolean | null | readonly AxisValue[] | { readonly [key: string]: AxisValue }

export interface Axis {
  readonly name: string
  readonly values: readonly { readonly label: string; readonly keys: Readonly<Record<string, AxisValue>> }[]
}

/** A point of the product without the seed: runs of one cell differ in nothing else. */
export interface Cell {
  readonly name: string
  /** A label by axis. */
  readonly axes: Readonly<Record<string, string>>
  readonly keys: Readonly<Record<string, AxisValue>>
}

export interface RunName {
  readonly name: string
  readonly cell: number
  readonly seed: number
}

/** An axis from YAML: a list of values, or maps of keys with a label each. The seed is no axis of cells. */
export function axisOf(name: string, values: readonly AxisValue[] | Readonly<Record<string, AxisValue>>): Axis {
  const named: [label: string, keys: Record<string, AxisValue>][] = Array.isArray(values)
    ? values.map((value) => (isMap(value) ? [labelOf(value), value] : [labelOf(value), { [name]: value }]))
    : Object.entries(values).map(([label, value]) => [oneCell(label), isMap(value) ? value : { [name]: value }])
  return { name, values: named.map(([label, keys]) => ({ label, keys })) }
}

/** The product, the last axis fastest. Without axes there is one cell. */
export function cellsOf(axes: readonly Axis[]): Cell[] {
  const product = axes.reduce<Omit<Cell, 'name'>[]>(
    (cells, { name, values }) =>
      cells.flatMap((cell) =>
        values.map(({ label, keys }) => ({ axes: { ...cell.axes, [name]: label }, keys: { ...cell.keys, ...keys } })),
      ),
    [{ axes: {}, keys: {} }],
  )
  const width = String(product.length).length
  return product.map((cell, i) => {
    const words = Object.entries(cell.axes).map(([name, label]) => `${name}-${label}`)
    return { ...cell, name: [String(i + 1).padStart(width, '0'), ...words].map(fileWord).join('-').slice(0, 80) }
  })
}

/** The run of a cell with a seed. Cells are numbered, so names are unique whatever was cut from them. */
export const runOf = (cells: readonly Pick<Cell, 'name'>[], cell: number, seed: number): RunName => ({
  name: `${cells[cell]!.name}-seed-${seed}`,
  cell,
  seed,
})

const isMap = (value: AxisValue): value is { readonly [key: string]: AxisValue } =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** One cell of a table: the files that `parscale fit` reads know no commas within cells. */
function labelOf(value: AxisValue): string {
  if (Array.isArray(value)) return oneCell(value.map(labelOf).join(' '))
  if (isMap(value))
    return Object.entries(value)
      .map(([key, item]) => `${key}=${labelOf(item)}`)
      .join(' ')
  return oneCell(String(value))
}

const oneCell = (text: string): string => text.replace(/[\s,"]+/g, ' ').trim()

/** Of a file's name: what every system and shell takes. */
const fileWord = (text: string): string => text.replace(/[^\w.]+/g, '-').replace(/^[-.]+|-+$/g, '') || 'x'
