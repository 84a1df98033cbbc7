/** A machine of somebody who has nothing of ours: an empty home, only the programs that a case allows, and no network but the registry. */
import { spawn } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, mkdtempSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const everyday = [
  'sh',
  'bash',
  'env',
  'uname',
  'sed',
  'dirname',
  'basename',
  'readlink',
  'script',
  'tar',
  'gzip',
  'cat',
  'tty',
  'stty',
]
const compilers = ['c++', 'g++', 'cc', 'gcc', 'as', 'ld', 'ar']

/**
 * @param temporary where its folders go
 * @param node the `node` to have
 * @param programs further ones: [name, file of JavaScript or program]
 */
export function newMachine(temporary, { node, programs = [], compiler = false, registry }) {
  const home = mkdtempSync(join(temporary, 'home-'))
  const bin = join(home, 'bin')
  const project = join(home, 'project')
  for (const folder of [bin, project]) mkdirSync(folder)
  const onPath = (name) =>
    process.env.PATH.split(':')
      .map((folder) => join(folder, name))
      .find((path) => existsSync(path))
  for (const name of [...everyday, ...(compiler ? compilers : [])]) if (onPath(name)) symlinkSync(onPath(name), join(bin, name))
  symlinkSync(node, join(bin, 'node'))
  for (const [name, file] of programs) {
    const command = /\.[cm]?js$/.test(file) ? `"${node}" "${file}"` : `"${file}"`
    writeFileSync(join(bin, name), `#!/bin/sh\nexec ${command} "$@"\n`)
    chmodSync(join(bin, name), 0o755)
  }
  writeFileSync(join(project, 'package.json'), '{ "private": true, "type": "module" }\n')
  const nowhere = 'http://127.0.0.1:9/'
  const env = {
    HOME: home,
    PATH: bin,
    TERM: 'xterm-256color',
    LANG: 'C.UTF-8',
    CI: '1',
    PARSCALE_CACHE: join(home, 'cache'),
    npm_config_registry: registry,
    npm_config_update_notifier: 'false',
    YARN_NPM_REGISTRY_SERVER: registry,
    YARN_UNSAFE_HTTP_WHITELIST: '127.0.0.1',
    YARN_ENABLE_TELEMETRY: '0',
    YARN_ENABLE_IMMUTABLE_INSTALLS: 'false',
    YARN_NODE_LINKER: 'node-modules',
    HTTP_PROXY: nowhere,
    HTTPS_PROXY: nowhere,
    GLOBAL_AGENT_HTTPS_PROXY: nowhere,
    NO_PROXY: '127.0.0.1,localhost',
  }
  return { home, project, run: (line, options) => run(line, { cwd: project, env, ...options }) }
}

/**
 * Types a line into the machine's shell.
 *
 * @param input typed on standard input as a whole, or step by step: [what has to be shown, what is typed then]
 * @throws Error with all that was said, when the line ends with another code than `code`
 */
export async function run(line, { cwd, env, input = '', steps, code: wanted = 0, limitSeconds = 1800 }) {
  const began = performance.now()
  const child = spawn('/bin/sh', ['-c', line], { cwd, env, stdio: ['pipe', 'pipe', 'pipe'], detached: true })
  let [stdout, stderr, seen] = ['', '', 0]
  const waiting = [...(steps ?? [])]
  const next = () => {
    while (waiting.length > 0) {
      const [shown, typed] = waiting[0]
      const found = shown.exec(stdout.slice(seen))
      if (!found) return
      seen += found.index + found[0].length
      waiting.shift()
      child.stdin.write(typed)
    }
  }
  child.stdout.setEncoding('utf8').on('data', (text) => {
    stdout += text
    next()
  })
  child.stderr.setEncoding('utf8').on('data', (text) => {
    stderr += text
  })
  child.stdin.on('error', () => {})
  if (!steps) child.stdin.end(input)
  // What the shell started, too.
  const timer = setTimeout(() => process.kill(-child.pid, 'SIGKILL'), limitSeconds * 1000)
  const code = await new Promise((resolve, reject) => child.on('error', reject).on('close', resolve))
  clearTimeout(timer)
  const seconds = (performance.now() - began) / 1000
  const left = waiting.length > 0 ? `\nnever shown: ${waiting[0][0]}` : ''
  if (code !== wanted || left)
    throw new Error(`${line}\nended with ${code} after ${seconds.toFixed(1)} s${left}\n${stdout}\n${stderr}`)
  return { stdout, stderr, seconds }
}
