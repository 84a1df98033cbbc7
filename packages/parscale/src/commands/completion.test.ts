/** Completion in real shells. */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { runHere } from '../testing/run-here.ts'
import { canOpenTerminals, TestTerminal } from '../testing/terminal.ts'

const shells = ['bash', 'zsh', 'fish'] as const
const has = (shell: string) => spawnSync(shell, ['-c', 'true']).status === 0

let folder: string
const scriptOf = (shell: string) => join(folder, `completion.${shell}`)
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'parscale-completion-'))
  for (const shell of shells) writeFileSync(scriptOf(shell), (await runHere(['completion', shell], {})).stdout)
})
afterAll(() => rmSync(folder, { recursive: true }))

/** Of a shell that was just started. */
const prompt = /[$#%] /

/** What is typed, and what must and must not be offered. */
const cases: readonly (readonly [line: string, offered: readonly string[], not: readonly string[]])[] = [
  ['parscale ge', ['generate'], ['chat']],
  ['parscale cache ', ['path', 'list', 'verify', 'remove'], ['generate']],
  ['parscale generate --max', ['--max-tokens'], ['--temperature']],
  ['parscale generate --device ', ['cpu', 'webgpu', 'cuda'], ['--p']],
  ['parscale train pretrain --learning', ['--learning-rate'], ['--top-k']],
  ['parscale cache list --j', ['--json'], ['--all']],
]

describe.runIf(has('bash'))('bash', () => {
  it.each(cases)('%s', (line, offered, not) => {
    const words = line.split(' ')
    const { stdout, stderr } = spawnSync(
      'bash',
      [
        '-c',
        `source '${scriptOf('bash')}'; COMP_WORDS=(${words.map((word) => `'${word}'`).join(' ')}); COMP_CWORD=${words.length - 1}; _parscale; printf '%s\\n' "\${COMPREPLY[@]}"`,
      ],
      { encoding: 'utf8' },
    )
    expect(stderr).toBe('')
    expect(stdout.split('\n')).toEqual(expect.arrayContaining([...offered]))
    for (const word of not) expect(stdout.split('\n')).not.toContain(word)
  })

  it.runIf(canOpenTerminals)('at a terminal, Tab completes', async () => {
    const terminal = new TestTerminal(['--norc', '--noprofile', '-i'], { command: ['bash'] })
    await terminal.until(prompt)
    terminal.type(`PS1='re''ady> '; source ${scriptOf('bash')}\r`)
    await terminal.until('ready> ')
    terminal.type('parscale quan\t --bi\t')
    await terminal.until(/quantize +--bits/)
    await terminal.kill()
  })
})

describe.runIf(has('fish'))('fish', () => {
  it.each(cases)('%s', (line, offered, not) => {
    const { stdout, stderr } = spawnSync('fish', ['-N', '-c', `source ${scriptOf('fish')}; complete -C '${line}'`], {
      encoding: 'utf8',
      env: { ...process.env, HOME: folder, XDG_CONFIG_HOME: folder },
    })
    expect(stderr).toBe('')
    const words = stdout.split('\n').map((each) => each.split('\t')[0])
    expect(words).toEqual(expect.arrayContaining([...offered]))
    for (const word of not) expect(words).not.toContain(word)
  })
})

describe.runIf(has('zsh') && canOpenTerminals)('zsh', () => {
  it('at a terminal, Tab completes commands, options and values', async () => {
    const terminal = new TestTerminal(['-f', '-i'], { command: ['zsh'], env: { HOME: folder, ZDOTDIR: folder } })
    await terminal.until(prompt)
    terminal.type(
      `PS1='re''ady> '; autoload -Uz compinit && compinit -u -d ${join(folder, 'dump')} && source ${scriptOf('zsh')}\r`,
    )
    await terminal.until('ready> ')
    terminal.type('parscale quan\t')
    await terminal.until('quantize')
    terminal.type('--bl\t')
    await terminal.until('--block-size')
    terminal.type(`${String.fromCharCode(21)}parscale generate --device web\t`)
    await terminal.until('webgpu')
    terminal.type(`${String.fromCharCode(21)}parscale cache ver\t`)
    await terminal.until('verify')
    await terminal.kill()
  })
})
