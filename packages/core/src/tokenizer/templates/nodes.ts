/** Walks over a parsed template. Iterative, because a long chain of operators is a deep tree. */
import type { TemplateNode } from './jinja-library.ts'

const blocks = new Set(['body', 'alternate', 'defaultBlock'])

/** The nodes that stand in a block, so that what they evaluate to is written out. */
export function outputNodes(program: TemplateNode): WeakSet<object> {
  const outputs = new WeakSet<object>()
  walk(program, (node) => {
    for (const [field, value] of Object.entries(node)) {
      if (blocks.has(field) && Array.isArray(value)) for (const each of value) outputs.add(each)
    }
  })
  return outputs
}

export function countNodes(root: TemplateNode): number {
  let count = 0
  walk(root, () => count++)
  return count
}

/** Visits every object at or below `root`, in lists and maps too. */
function walk(root: object, visit: (node: object) => void): void {
  const waiting: unknown[] = [root]
  while (waiting.length > 0) {
    const next = waiting.pop()
    if (typeof next !== 'object' || next === null) continue
    visit(next)
    if (next instanceof Map) for (const pair of next) waiting.push(...pair)
    else for (const child of Object.values(next)) waiting.push(child)
  }
}
