/** markupsafe's `escape`. */
import { stringOf } from './printing.ts'
import type { Runtime } from './runtime.ts'
import { Text } from './text.ts'
import type { Value } from './values.ts'

const entities: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&#34;', "'": '&#39;' }

/** What is not markup yet, escaped. */
export function escapeMarkup(runtime: Runtime, value: Value): Text {
  if (value instanceof Text && value.markup) return value
  const plain = stringOf(runtime, value)
  runtime.budget.make(6 * plain.value.length)
  return plain.map((run) => run.replace(/[&<>"']/g, (character) => entities[character]!)).as(true)
}
