/**
 * Prints docs/api.md: every promised name with its declaration and the first paragraph of its comment.
 *
 *     npx tsx --conditions=source scripts/api-page.ts      writes the page
 */
import { writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { type PromisedSubpath, promisedSubpaths } from '../test/support/promises.ts'

export const apiPage = fileURLToPath(new URL('../docs/api.md', import.meta.url))

const longest = 160
const cut = (text: string): string => (text.length <= longest ? text : `${text.slice(0, longest - 4)} ...`)

export function printApi(subpaths: readonly PromisedSubpath[]): string {
  const count = subpaths.reduce((sum, { names }) => sum + names.length, 0)
  const parts = subpaths.map(({ specifier, comment, names }) => {
    const rows = names.map(
      ({ name, declaration, comment }) => `### ${name}\n\n\`\`\`\n${cut(declaration)}\n\`\`\`\n\n${comment}\n`,
    )
    return `## ${specifier}\n\n${comment}\n\n${rows.join('\n')}`
  })
  return `# Library\n\nThe ${count} names that are promised, printed from the types by \`npx tsx --conditions=source scripts/api-page.ts\`. [library.md](library.md) shows how they are\nused. What lies below \`@parscale/core/internal\` serves the packages of this repository and may change at any time.\n\n${parts.join('\n')}`
}

if (process.argv[1] === fileURLToPath(import.meta.url)) writeFileSync(apiPage, printApi(promisedSubpaths()))
