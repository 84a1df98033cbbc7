/** Rows of a column, one at a time: levels and values of its leaves become texts, lists and objects (Dremel, Melnik et al. 2010). */
import type { ByteSource } from '../../../checkpoint/byte-source.ts'
import { maxDocumentBytes } from '../../../training/data/documents.ts'
import type { RowGroup } from './footer.ts'
import { type Page, readPages } from './pages.ts'
import type { SchemaNode } from './schema.ts'
import { BadValue } from './values.ts'

/**
 * Values and their containers in one row: those of 65,536 messages with a role and a content. A run of them takes next to no room
 * in a file, but some here.
 */
const mostParts = 2 ** 19

const rowsAtOnce = 256
const charactersAtOnce = 1 << 16

/**
 * Some rows at a time: a promise for each takes longer than to read it. A BadValue in place of a row that cannot be read.
 *
 * @throws Error for columns that cannot be what they say
 */
export async function* readRows(source: ByteSource, group: RowGroup, column: SchemaNode): AsyncGenerator<readonly unknown[]> {
  const leaves = column.leaves.map((node) => new LeafRows(source, group, node))
  let batch: unknown[] = []
  let characters = 0
  for (let row = 0; row < group.rows; row++) {
    const room = { parts: mostParts, characters: maxDocumentBytes }
    for (const leaf of leaves) {
      const reading = leaf.next(row, room)
      if (reading) await reading
    }
    batch.push(room.characters < 0 ? new BadValue('tooLong') : assemble(column, leaves))
    characters += maxDocumentBytes - room.characters
    if (batch.length < rowsAtOnce && characters < charactersAtOnce) continue
    yield batch
    batch = []
    characters = 0
  }
  for (const leaf of leaves) await leaf.end(group.rows)
  yield batch
}

/** What a row may still take. Above all its leaves. */
interface Room {
  parts: number
  characters: number
}

/** What one leaf has in a row. */
class LeafRows {
  readonly node: SchemaNode
  readonly repetitions: number[] = []
  readonly definitions: number[] = []
  readonly values: unknown[] = []
  /** The entry that comes next in assembling. */
  at = 0
  readonly #pages: AsyncGenerator<Page>
  #page: Page | undefined
  #left = 0
  /** The repetition level of the first entry behind the row, already read. */
  #ahead: number | undefined

  constructor(source: ByteSource, group: RowGroup, node: SchemaNode) {
    this.node = node
    this.#pages = readPages(source, group.chunk(node.leaf!.index), node)
  }

  /** A promise only where a page must be read first: most rows come without. */
  next(row: number, room: Room): Promise<void> | undefined {
    this.repetitions.length = 0
    this.definitions.length = 0
    this.values.length = 0
    this.at = 0
    if (this.node.repetitions > 0 || this.#left === 0) return this.#nextInPages(row, room)
    this.#take(room)
    return undefined
  }

  async end(rows: number): Promise<void> {
    if (await this.#fill()) throw new Error(`column ${this.node.name} has more than ${rows} rows`)
  }

  async #nextInPages(row: number, room: Room): Promise<void> {
    if (!(await this.#fill()) || this.#repetition() !== 0) throw new Error(`column ${this.node.name} has no row ${row + 1}`)
    do this.#take(room)
    while (this.node.repetitions > 0 && (this.#left > 0 || (await this.#fill())) && this.#repetition() > 0)
  }

  /** Whether there is an entry, now that its page is read. */
  async #fill(): Promise<boolean> {
    while (this.#left === 0) {
      const { value: page, done } = await this.#pages.next()
      if (done) return false
      this.#page = page
      this.#left = page.count
    }
    return true
  }

  #repetition(): number {
    this.#ahead ??= this.#page!.repetition()
    return this.#ahead
  }

  #take(room: Room): void {
    const { node } = this
    const repetition = this.#repetition()
    const definition = this.#page!.definition()
    if (repetition > node.repetitions || definition > node.definition)
      throw new Error(`column ${node.name} has levels beyond its own`)
    room.parts -= node.depth + 1
    if (room.parts < 0) throw new Error(`a row has more than ${mostParts} values, lists and objects`)
    const value = definition === node.definition ? this.#page!.value() : null
    if (typeof value === 'string') room.characters -= value.length
    this.repetitions.push(repetition)
    this.definitions.push(definition)
    // What is too long is read to its end, but not kept.
    this.values.push(room.characters < 0 ? null : value)
    this.#ahead = undefined
    this.#left--
  }
}

function assemble(column: SchemaNode, leaves: readonly LeafRows[]): unknown {
  const first = column.leaves[0]!.leaf!.index
  const rowsOf = (node: SchemaNode) => leaves[node.leaf!.index - first]!
  let bad: BadValue | undefined
  const definitionAt = (node: SchemaNode): number => {
    const rows = rowsOf(node.leaves[0]!)
    const definition = rows.definitions[rows.at]
    if (definition === undefined) throw new Error(`columns within ${column.name} have different lengths`)
    return definition
  }
  /** One entry of each leaf says that there is nothing. */
  const skip = (node: SchemaNode): void => {
    for (const leaf of node.leaves) rowsOf(leaf).at++
  }
  const one = (node: SchemaNode): unknown => {
    if (node.repetition === 'required') return content(node)
    const isThere = definitionAt(node) >= node.definition
    if (!isThere) {
      skip(node)
      return node.repetition === 'optional' ? null : []
    }
    if (node.repetition === 'optional') return content(node)
    const items: unknown[] = []
    const rows = rowsOf(node.leaves[0]!)
    do items.push(content(node))
    while (rows.repetitions[rows.at] === node.repetitions)
    return items
  }
  const content = (node: SchemaNode): unknown => {
    if (node.leaf) {
      const rows = rowsOf(node)
      if (rows.at >= rows.values.length) throw new Error(`columns within ${column.name} have different lengths`)
      const value = rows.values[rows.at++]
      if (value instanceof BadValue) bad ??= value
      return value
    }
    const [child] = node.children
    if (node.shape === 'list') return (one(child!) as unknown[]).map(elementOf(child!))
    if (node.shape === 'map') return mapOf(child!, one(child!) as Record<string, unknown>[])
    return Object.fromEntries(node.children.map((each) => [each.name, one(each)]))
  }
  const value = one(column)
  if (leaves.some((rows) => rows.at !== rows.values.length))
    throw new Error(`columns within ${column.name} have different lengths`)
  return bad ?? value
}

/** A list's repeated group has one field that is the element; older writers repeat the element itself (LogicalTypes.md). */
function elementOf(repeated: SchemaNode): (item: unknown) => unknown {
  const isElement = repeated.children.length !== 1 || repeated.name === 'array' || repeated.name.endsWith('_tuple')
  const name = repeated.children[0]?.name
  return (item) => (isElement || name === undefined ? item : (item as Record<string, unknown>)[name])
}

function mapOf({ children: [key, value] }: SchemaNode, entries: readonly Record<string, unknown>[]): object {
  return Object.fromEntries(entries.map((entry) => [entry[key!.name], entry[value!.name]]))
}
