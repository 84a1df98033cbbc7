/**
 * Prints docs/support.md from the table of families, between its two marks.
 *
 *     npx tsx --conditions=source scripts/support-page.ts      writes the page
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { parseModelConfig } from '@parscale/core/internal/checkpoint'
import { families, type ModelConfig, type ModelType, modelTypes } from '@parscale/core/internal/model'
import { nativeRefusal } from '@parscale/native'

const root = fileURLToPath(new URL('..', import.meta.url))
export const supportPage = `${root}docs/support.md`
const [begin, end] = ['<!-- printed by scripts/support-page.ts -->', '<!-- end -->']

/** Configurations of a family among the fixtures. */
function configsOf(family: ModelType): ModelConfig[] {
  return ['goldens', 'transformers'].flatMap((group) =>
    readdirSync(`${root}fixtures/${group}`, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => JSON.parse(readFileSync(`${root}fixtures/${group}/${entry.name}/config.json`, 'utf8')))
      .filter((json) => json.model_type === family)
      .map((json) => parseModelConfig(json)),
  )
}

function nativeCell(family: ModelType): string {
  const reasons = configsOf(family).map((config) => nativeRefusal([config]))
  const why = reasons.find((reason) => reason !== undefined)
  if (why === undefined) return 'yes'
  const short = why.replace('the native step knows no ', '').replace(/, which .*$/, '')
  return reasons.includes(undefined) ? `yes; not with ${short}` : `no: ${short}`
}

function row(family: ModelType): string {
  const { className, gguf, window } = families[family]
  const read = gguf ? `\`${gguf.architecture}\`` : 'no file says so'
  const cells = [`\`${family}\``, read, window, 'yes', nativeCell(family), '8, 4', 'yes', `\`${className}\``]
  return `| ${cells.join(' | ')} |`
}

/** The page with its table printed anew. */
export function printSupport(page: string): string {
  const heading = ['`model_type`', 'GGUF', 'windows', 'ONNX Runtime', 'native step', '`--bits`', 'training', 'exported as']
  const table = [`| ${heading.join(' | ')} |`, `|${'---|'.repeat(heading.length)}`, ...modelTypes.map(row)].join('\n')
  const [before, rest] = page.split(begin) as [string, string]
  return `${before}${begin}\n\n${table}\n\n${end}${rest.split(end)[1]}`
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  writeFileSync(supportPage, printSupport(readFileSync(supportPage, 'utf8')))
}
