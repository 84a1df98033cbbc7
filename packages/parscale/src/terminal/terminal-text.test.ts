import { expect, it } from 'vitest'
import type { Io } from './io.ts'
import { forTerminal } from './terminal-text.ts'

const io = (terminal: boolean) => ({ isTTY: { stdout: terminal, stderr: false } }) as Io

it('shows control characters on a terminal and lets text, tabs, newlines and colours of scripts be', () => {
  expect(forTerminal('a\u001b]0;title\u0007\tb\nZürich 🎉\u007f\u009b2J\r', io(true))).toBe('a␛]0;title␇\tb\nZürich 🎉␡\ufffd2J␍')
})

it('changes nothing in a pipe', () => {
  expect(forTerminal('a\u001b[2J', io(false))).toBe('a\u001b[2J')
})
