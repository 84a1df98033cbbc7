/** What a model says is not to be trusted with a terminal: control characters could move the cursor or set its title. */
import type { Io } from './io.ts'

/** On a terminal, control characters other than tab and newline become their visible pictures (U+2400 and on); in a pipe, nothing changes. */
export function forTerminal(text: string, io: Io): string {
  if (!io.isTTY.stdout) return text
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what this is about
  return text.replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g, (c) => {
    const code = c.charCodeAt(0)
    return code < 0x20 ? String.fromCharCode(0x2400 + code) : code === 0x7f ? '\u2421' : '\ufffd'
  })
}
