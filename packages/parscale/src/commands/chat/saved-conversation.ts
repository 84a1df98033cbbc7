/** Conversations in files: a JSON list of `{ role, content }`, which other tools for chat models read too. */
import { readFile, stat } from 'node:fs/promises'
import { homedir } from 'node:os'
import { isParscaleError, usageError } from '@parscale/core/internal'
import { writeWholeFile } from '@parscale/core/internal/node/disk'
import type { ChatMessage } from '@parscale/core/internal/tokenizer'

/** There is no shell in a conversation that would do it. */
const withHome = (path: string): string => path.replace(/^~(?=\/|$)/, homedir())

/** Writes the whole file or leaves it. @throws usage error for a file that holds something else, or that cannot be written */
export async function saveConversation(file: string, messages: readonly ChatMessage[]): Promise<string> {
  const path = withHome(file)
  if (await stat(path).catch(() => undefined)) {
    await loadConversation(path).catch((error) => {
      if (!isParscaleError(error)) throw error
      throw usageError(`/save ${file}: there is a file which is no saved conversation; choose another name`, { file: path })
    })
  }
  await writeWholeFile(path, `${JSON.stringify(messages, null, 2)}\n`)
  return path
}

/** @throws usage error where it cannot be read or is no list of messages */
export async function loadConversation(file: string): Promise<ChatMessage[]> {
  const path = withHome(file)
  const content = await readFile(path, 'utf8').catch((cause: NodeJS.ErrnoException) => {
    const why = cause.code === 'ENOENT' ? 'there is no such file' : `cannot be read (${cause.code})`
    throw usageError(`/load ${file}: ${why}`, { file: path, cause })
  })
  const refuse = (why: string) =>
    usageError(`/load ${file}: ${why}; expected what /save writes, [{ "role": "user", "content": "..." }, ...]`, {
      file: path,
    })
  let messages: unknown
  try {
    messages = JSON.parse(content)
  } catch (error) {
    throw refuse(`is not JSON (${(error as Error).message})`)
  }
  if (!Array.isArray(messages)) throw refuse('is no list')
  return messages.map((message, i) => {
    const { role, content } = Object(message) as Record<string, unknown>
    if (role !== 'system' && role !== 'user' && role !== 'assistant')
      throw refuse(`message ${i + 1} has no role of system, user or assistant`)
    if (typeof content !== 'string') throw refuse(`message ${i + 1} has no content`)
    return { role, content }
  })
}
