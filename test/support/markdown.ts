/** What the tests of the documents read out of Markdown: code blocks, links, headings. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const root = fileURLToPath(new URL('../../', import.meta.url))

export const readDocument = (path: string): string => readFileSync(join(root, path), 'utf8')

/** Every Markdown file of the repository, as a path from its root. */
export function allDocuments(folder = ''): string[] {
  return readdirSync(join(root, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name)
    if (entry.isDirectory()) return /^(\.|node_modules$|dist$)/.test(entry.name) ? [] : allDocuments(path)
    return entry.name.endsWith('.md') ? [path] : []
  })
}

export interface CodeBlock {
  readonly language: string
  readonly code: string
}

export function codeBlocks(markdown: string): CodeBlock[] {
  return [...markdown.matchAll(/^```(\w*)\n(.*?)^```$/gms)].map(([, language, code]) => ({ language: language!, code: code! }))
}

/** The text without code, where brackets and parentheses are no links. */
export const withoutCode = (markdown: string): string => markdown.replace(/^```.*?^```$/gms, '').replace(/`[^`\n]*`/g, '')

/** Targets of `[text](target)` and `![text](target)`. */
export const links = (markdown: string): string[] =>
  [...withoutCode(markdown).matchAll(/\]\(\s*<?([^)\s>]+)/g)].map(([, target]) => target!)

/** The anchors that GitHub gives to a document's headings. */
export function anchors(markdown: string): Set<string> {
  const headings = [...markdown.replace(/^```.*?^```$/gms, '').matchAll(/^#+ (.+)$/gm)].map(([, heading]) => heading!)
  return new Set(
    headings.map((heading) =>
      heading
        .toLowerCase()
        .replace(/[^\p{L}\p{N}\s_-]/gu, '')
        .trim()
        .replace(/\s/g, '-'),
    ),
  )
}
