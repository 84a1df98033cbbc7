/** For people, who need not know what ENOENT is. */
export function whyUnread({ code, message }: NodeJS.ErrnoException): string {
  const words: Readonly<Record<string, string>> = {
    ENOENT: 'there is no such file',
    EISDIR: 'is a folder; name a file in it',
    EACCES: 'you may not read it',
    ENOTDIR: 'a part of the path is a file, not a folder',
  }
  return words[code ?? ''] ?? `cannot be read (${code ?? message})`
}
