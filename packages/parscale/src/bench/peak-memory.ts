/** Peak resident memory of this process. */
import { readFileSync } from 'node:fs'
import process from 'node:process'

/**
 * Peak resident bytes, pages of mapped files included. From /proc where there is one: `resourceUsage` there starts from the
 * peak of the process that started this one (the kernel keeps it across exec), and its unit is what it is elsewhere.
 */
export function peakMemoryBytes(): number {
  try {
    const [, kibibytes] = /^VmHWM:\s*(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8')) ?? []
    if (kibibytes !== undefined) return Number(kibibytes) * 1024
  } catch {
    // no Linux
  }
  return process.resourceUsage().maxRSS * 1024 // libuv gives kibibytes on every platform
}
