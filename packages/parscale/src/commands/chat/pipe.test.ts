/** A conversation whose turns come out of a pipe: answers alone on stdout, nothing of the terminal's. */
import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { byteModel } from '../../../../core/src/testing/fixtures.ts'
import { parscale } from '../../testing/cli.ts'

let folder: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'parscale-chat-pipe-'))
  cpSync(byteModel, join(folder, 'model'), { recursive: true })
  writeFileSync(
    join(folder, 'model', 'chat_template.jinja'),
    '{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}',
  )
})
afterAll(() => rmSync(folder, { recursive: true }))

const chat = (input: string, ...more: string[]) =>
  parscale(
    ['chat', join(folder, 'model'), '--p', '1', '--max-tokens', '3', '--temperature', '0', '--logit-bias', '97=1e9', ...more],
    {
      input,
      env: { XDG_STATE_HOME: join(folder, 'state') },
    },
  )

it('answers each line, and says nothing else', async () => {
  expect(await chat('one\n\ntwo\n')).toEqual({ code: 0, stdout: 'aaa\naaa\n', stderr: '' })
})

it('--json is a line for each turn; /reset forgets them, /exit ends', async () => {
  const { code, stdout } = await chat('one\ntwo\n/reset\nthree\n/exit\nfour\n', '--json')
  const turns = stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line))
  expect(code).toBe(0)
  expect(turns.map(({ message, text }) => [message, text])).toEqual([
    ['one', 'aaa'],
    ['two', 'aaa'],
    ['three', 'aaa'],
  ])
  expect(turns.map(({ cachedTokens }) => cachedTokens > 0)).toEqual([false, true, false])
})

it('sends no command that there is not, and text that begins with a slash behind a space', async () => {
  const { code, stdout, stderr } = await chat('/etc/passwd\n')
  expect([code, stdout]).toEqual([2, ''])
  expect(stderr).toMatch(/^parscale: \/etc\/passwd: there is no such command.*put a space before it\n$/)
  expect(JSON.parse((await chat(' /etc/passwd\n', '--json')).stdout).message).toBe('/etc/passwd')
})
