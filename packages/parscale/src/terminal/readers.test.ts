/** Readers that leave early and outputs without room, as shells make them: what happens to the work, and the exit code. */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { mainPath } from '../testing/cli.ts'

const model = fileURLToPath(new URL('../../models/small', import.meta.url))
let scratch: string
let train: string
beforeAll(() => {
  scratch = mkdtempSync(join(tmpdir(), 'parscale-readers-'))
  const data = join(scratch, 'text.txt')
  writeFileSync(data, Array.from({ length: 60 }, (_, i) => `Paragraph ${i} of the whale and the sea`).join('\n\n'))
  train =
    `parscale train pretrain --data ${data} --separator $'\\n\\n' --p 1 --steps 12 --hidden-size 32 --layers 1 --heads 2 ` +
    '--vocab-size 300 --batch-size 2 --sequence-length 16 --checkpoint-every 5 --log-every 1 --threads 1 --set sample.tokens=0'
})
afterAll(() => rmSync(scratch, { recursive: true }))

/** Runs a line of bash in which `parscale` is the command line. */
function bash(line: string, env: NodeJS.ProcessEnv = {}) {
  const command = `parscale() { '${process.execPath}' --conditions=source --import tsx '${mainPath}' "$@"; }; ${line}`
  const { stdout, stderr } = spawnSync('bash', ['-c', command], {
    env: { ...process.env, PARSCALE_CACHE: join(scratch, 'cache'), ...env },
    encoding: 'utf8',
  })
  return { stdout, stderr }
}

const isLinux = process.platform === 'linux'
/** An array by its name alone is its first element: the exit code of the first command of the pipe. */
const code = '; echo "$PIPESTATUS"'

describe.runIf(isLinux)('a reader that leaves does not end work whose product is a file', () => {
  test.each([
    ['of both outputs', '2>&1 | head -2'],
    ['of both outputs, at once', '2>&1 | true'],
    ['of the messages', '2> >(head -1 >/dev/null)'],
    ['of the result', '| true'],
    ['of nothing: both outputs are without room', '>/dev/full 2>&1', '4'],
  ])('%s', (name, end, expected = '0') => {
    const out = join(scratch, name.replaceAll(/\W/g, '-'))
    const { stdout } = bash(`${train} --out ${out} ${end}${code}`)
    expect(stdout.trim().split('\n').at(-1)).toBe(expected)
    expect(existsSync(join(out, 'model', 'model.safetensors'))).toBe(true)
    expect(readdirSync(out)).not.toContain('lock')
  })

  test('of a conversion', () => {
    const out = join(scratch, 'converted')
    expect(bash(`parscale convert ${model} ${out} 2>&1 | true${code}`).stdout.trim()).toBe('0')
    expect(existsSync(join(out, 'model.safetensors'))).toBe(true)
  })
})

test.runIf(isLinux)('a full disk behind the output is one line and exit code 4, no stack trace', () => {
  const line = 'parscale: stdout cannot be written (ENOSPC); free some space or write elsewhere'
  for (const command of [`generate ${model} --prompt The --max-tokens 50 --p 1`, '--help', 'models']) {
    const { stdout, stderr } = bash(`{ parscale ${command} >/dev/full; echo $? >&2; }`)
    expect(stdout).toBe('')
    expect(stderr.split('\n').slice(-3)).toEqual([line, '4', ''])
    expect(stderr).not.toContain(' at ')
  }
})
