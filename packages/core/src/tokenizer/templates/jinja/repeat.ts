/** A text many times over. */
import type { Runtime } from './runtime.ts'
import { Text, TextParts } from './text.ts'

export function repeatText(runtime: Runtime, value: Text, count: number): Text {
  if (value.value === '' || count <= 0) return new Text('', [], value.markup)
  runtime.budget.make(value.value.length * count)
  if (value.spans.length === 0) return new Text(value.value.repeat(count), [], value.markup)
  runtime.budget.spend(count)
  const parts = new TextParts()
  for (let i = 0; i < count; i++) parts.push(value)
  return parts.text(value.markup)
}
