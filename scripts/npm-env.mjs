/**
 * Puts pinned packages of npm under `.cache/npm/<name>` and gives that folder: programs of others, which tests run unmodified, in versions
 * that the repository's own Node does not take. Nothing in the product needs them.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const platform = `${process.platform}-${process.arch}`

/** What each folder holds. */
export const npmEnvironments = {
  /** Node itself. */
  node22: [`node-${platform}@22.23.3`],
  /** Clients of the server that need Node 22, and our own package for `parscale/ai-sdk`. */
  clients: ['ai@7.0.173', '@ai-sdk/openai-compatible@3.0.92', 'openai@7.57.0', 'zod@4.6.7'],
  /** An agent that speaks /v1/responses (a binary of 200 MB). */
  codex: ['@openai/codex@0.171.0'],
  /** An agent that speaks /v1/chat/completions. */
  pi: ['@mariozechner/pi-coding-agent@0.73.1'],
  langchain: ['@langchain/openai@1.6.0', '@langchain/core'],
}

/**
 * Fetches the packages unless they are there already. Gives the absolute path of the folder, in whose node_modules `parscale` is the one of
 * this checkout.
 *
 * @param {keyof typeof npmEnvironments} name
 */
export function npmEnvironment(name) {
  const specs = npmEnvironments[name]
  if (!specs) throw new Error(`no npm environment "${name}"; there are ${Object.keys(npmEnvironments).join(', ')}`)
  const folder = join(root, '.cache/npm', name)
  // Written last, so that an interrupted or outdated one is made anew.
  const stamp = join(folder, 'installed.txt')
  const contents = `${specs.join('\n')}\n`
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === contents) return folder

  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, 'package.json'), '{ "private": true, "type": "module" }\n')
  const flags = ['--ignore-scripts', '--no-audit', '--no-fund', '--no-package-lock', '--loglevel=error']
  const { status, stderr } = spawnSync('npm', ['install', ...flags, ...specs], { cwd: folder, encoding: 'utf8' })
  if (status !== 0) throw new Error(`npm install ${specs.join(' ')}: ${stderr}`)
  symlinkSync(join(root, 'packages/parscale'), join(folder, 'node_modules/parscale'), 'dir')
  writeFileSync(stamp, contents)
  return folder
}

/** Node 22, which some of these programs need. */
export const node22 = () => join(npmEnvironment('node22'), 'node_modules', `node-${platform}`, 'bin/node')
