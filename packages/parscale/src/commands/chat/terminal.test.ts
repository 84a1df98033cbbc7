/** A conversation at a real terminal: what a person types, and what is then on the screen. */
import { cpSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { byteModel } from '../../../../core/src/testing/fixtures.ts'
import { canOpenTerminals, TestTerminal } from '../../testing/terminal.ts'

let folder: string
const at = (...names: string[]) => join(folder, ...names)
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'parscale-chat-'))
  cpSync(byteModel, at('model'), { recursive: true })
  writeFileSync(
    at('model', 'chat_template.jinja'),
    '{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}',
  )
})
afterAll(() => rmSync(folder, { recursive: true }))
/** Those that a failed test leaves open would keep the test's process. */
const open: TestTerminal[] = []
afterEach(() => Promise.all(open.splice(0).map((chat) => chat.kill())))

const ctrl = (letter: string) => String.fromCharCode(letter.charCodeAt(0) - 96)
/** All that the random model may say is 'a', so that screens are known: other bytes are banned by the one bias that outweighs theirs. */
const known = ['--temperature', '0', '--logit-bias', '97=1e9']

/** With a history only where `more` does not turn it off. */
const openChat = (...more: string[]) => openChatIn({}, ...more)
function openChatIn(env: NodeJS.ProcessEnv, ...more: string[]): TestTerminal {
  const chat = new TestTerminal(['chat', at('model'), '--p', '1', '--threads', '1', '--max-tokens', '6', ...known, ...more], {
    columns: 160, // no message is broken
    env: { XDG_STATE_HOME: at('state'), PARSCALE_CACHE: at('cache'), HOME: folder, ...env },
  })
  open.push(chat)
  return chat
}

/** Waits until the screen's last line is this. */
const untilLine = (chat: TestTerminal, line: string) =>
  expect.poll(async () => (await chat.screen()).split('\n').at(-1)).toBe(line)

async function leave(chat: TestTerminal): Promise<void> {
  await chat.until('> ')
  chat.type(ctrl('d'))
  expect(await chat.ended()).toBe(0)
}

describe.runIf(canOpenTerminals)('chat at a terminal', () => {
  it('says what it is, answers its own commands, and sends none of them', async () => {
    const chat = openChat('--no-history')
    await chat.until('P = 1; /help lists commands')
    await chat.until('> ')
    for (const [typed, said] of [
      ['/?', 'this list'],
      ['/hlep', 'did you mean /help? /help lists'],
      ['/etc/passwd', 'put a space before it'],
      ['/set temprature 1', 'did you mean temperature? There are'],
      ['/set top_k 3', 'top_k 3'],
      ['/set top-p high', 'it must be a number'],
      ['/set system Be brief.', 'the system message is set'],
      ['/p 8', 'P = 8 from the next turn on'],
      ['/p 3', 'it has P = 1, 8'],
      ['/show', 'P = 8 of 1, 8'],
      ['/streams', 'stream weights are shown'],
    ] as const) {
      chat.type(`${typed}\r`)
      await chat.until(said)
      await chat.until('> ')
    }
    chat.type('hello\r')
    await chat.until('leading stream')
    await chat.until(/\[6 tokens, [\d.]+ tokens\/s, P = 8\]/)
    await chat.until('> ')
    chat.type(`/save ${at('talk.json')}\r`)
    await chat.until('3 messages in')
    chat.type('/bye\r')
    expect(await chat.ended()).toBe(0)
    expect(JSON.parse(readFileSync(at('talk.json'), 'utf8'))).toEqual([
      { role: 'system', content: 'Be brief.' },
      { role: 'user', content: 'hello' },
      { role: 'assistant', content: 'aaaaaa' },
    ])
  })

  it('goes on with a conversation that was saved, and refuses a file that is none', async () => {
    writeFileSync(at('other.json'), '{"a": 1}')
    writeFileSync(
      at('saved.json'),
      JSON.stringify([
        { role: 'user', content: 'x' },
        { role: 'assistant', content: 'y' },
      ]),
    )
    const chat = openChat('--no-history')
    await chat.until('> ')
    for (const [typed, said] of [
      ['/load', 'expected /load FILE'],
      ['/load ~/none.json', 'there is no such file'],
      ['/load ~/other.json', 'is no list'],
      ['/save ~/other.json', 'no saved conversation; choose another name'],
      ['/load ~/saved.json', '2 messages; the conversation goes on'],
      ['/clear', 'begins anew'],
      ['/show', '0 messages'],
    ] as const) {
      chat.type(`${typed}\r`)
      await chat.until(said)
      await chat.until('> ')
    }
    chat.type(ctrl('d'))
    await chat.ended()
    expect(readFileSync(at('other.json'), 'utf8')).toBe('{"a": 1}')
  })

  it('takes a paste of several lines, and a block in quotes, as one turn', async () => {
    const chat = openChat('--no-history')
    await chat.until('> ')
    chat.paste('one\ntwo\n  three')
    await chat.until('three')
    chat.type('\r')
    await chat.until('tokens/s')
    await chat.until('> ')
    chat.type('"""/first\r')
    await chat.until('. ')
    chat.type('second"""\r')
    await chat.until('tokens/s')
    await chat.until('> ')
    chat.type(`/save ${at('blocks.json')}\r`)
    await chat.until('4 messages')
    chat.type('/bye\r')
    expect(await chat.ended()).toBe(0)
    const said = JSON.parse(readFileSync(at('blocks.json'), 'utf8')) as { role: string; content: string }[]
    expect(said.filter(({ role }) => role === 'user').map(({ content }) => content)).toEqual([
      'one\ntwo\n  three',
      '/first\nsecond',
    ])
  })

  it('holds keys that come during an answer: they neither show in it nor are sent', async () => {
    const chat = openChat('--no-history', '--max-tokens', '1500', '--p', '8')
    await chat.until('> ')
    chat.type('go\r')
    await chat.until('aaa')
    chat.type('typed\rahead\r')
    await chat.until('tokens/s')
    await chat.until('typed\u2424ahead')
    const screen = await chat.screen()
    expect(screen).toMatch(/\n> go\na+\n(a+\n)*\[1500 tokens, [\d.]+ tokens\/s, P = 8\]\n> typed\u2424ahead$/)
    chat.type(ctrl('c'))
    await chat.until('again')
    await chat.until('> ')
    chat.type('/show\r')
    await chat.until('2 messages')
    await leave(chat)
  })

  it('sends a line that is typed when the figures show, however late the prompt comes', async () => {
    // A process that stands still behind its figures, as on a busy machine: keys are there when it goes on.
    const late = `const { write } = process.stderr
      process.stderr.write = function (text, ...more) {
        const written = write.call(this, text, ...more)
        if (String(text).includes('tokens/s')) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 400)
        return written
      }`
    const chat = openChatIn({ NODE_OPTIONS: `--import data:text/javascript,${encodeURIComponent(late)}` }, '--no-history')
    await chat.until('> ')
    for (const delayMs of [0, 30]) {
      chat.type('go\r')
      await chat.until('tokens/s')
      await new Promise((resolve) => setTimeout(resolve, delayMs))
      chat.type('/clear\r')
      await chat.until('begins anew')
      await chat.until('> ')
    }
  })

  it('cuts an answer short on Ctrl-C and goes on; at a prompt it clears the line, and leaves the second time', async () => {
    const chat = openChat('--no-history', '--max-tokens', '1500', '--p', '8')
    await chat.until('> ')
    chat.type('go\r')
    await chat.until('aaa')
    chat.type(ctrl('c'))
    await chat.until('[cut short; the turn is not kept]')
    // While it computed, nothing of the terminal was set that a killed process would leave behind.
    expect(chat.written.lastIndexOf('\u001b[?2004l')).toBeLessThan(chat.written.lastIndexOf('aaa'))
    expect(chat.written.slice(0, chat.written.lastIndexOf('aaa')).lastIndexOf('\u001b[?2004h')).toBeLessThan(
      chat.written.lastIndexOf('\u001b[?2004l'),
    )
    await chat.until('> ')
    chat.type(`half a line${ctrl('c')}`)
    await chat.until('(Ctrl-C again, Ctrl-D or /bye leaves)')
    await chat.until('> ')
    chat.type('/show\r')
    await chat.until('0 messages')
    await chat.until('> ')
    chat.type(ctrl('c'))
    await chat.until('again')
    chat.type(ctrl('c'))
    expect(await chat.ended()).toBe(0)
    expect(chat.written.endsWith('\u001b[?2004l')).toBe(true)
  })

  it('edits wide characters where they stand', async () => {
    const chat = openChat('--no-history')
    await chat.until('> ')
    chat.type('日本🎉語x')
    await chat.until('x')
    chat.type('\u001b[D\u001b[D\u007f') // left, left, delete what is before the cursor
    await untilLine(chat, '> 日本語x')
    chat.type('👍é')
    await untilLine(chat, '> 日本👍é語x')
    chat.type(`\r`)
    await chat.until('tokens/s')
    chat.type(`/save ${at('wide.json')}\r`)
    await chat.until('2 messages')
    await leave(chat)
    expect(JSON.parse(readFileSync(at('wide.json'), 'utf8'))[0].content).toBe('日本👍é語x')
  })

  it('remembers what was typed in other sessions, for its owner alone, unless it is told not to', async () => {
    const file = at('state', 'parscale', 'chat-history')
    rmSync(file, { force: true })
    const first = openChat()
    await first.until('> ')
    first.type('/set seed 5\r')
    await first.until('seed 5')
    await first.until('> ')
    first.type('/bye\r')
    await first.ended()
    expect(readFileSync(file, 'utf8')).toBe('/set seed 5\n/bye\n')
    expect(statSync(file).mode & 0o777).toBe(0o600)
    const second = openChat('--no-history')
    await second.until('> ')
    second.type('/set seed 6\r')
    await second.until('seed 6\r\n')
    await second.until('> ')
    second.type('\u001b[A\u001b[A')
    await second.until('/set seed 6')
    second.type(ctrl('c'))
    await leave(second)
    expect(readFileSync(file, 'utf8')).not.toContain('6')
    const third = openChat()
    await third.until('> ')
    third.type('\u001b[A\u001b[A')
    await third.until('/set seed 5')
    third.type(ctrl('c'))
    await leave(third)
  })
})
