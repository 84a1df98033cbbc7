/** The native half of a second Ctrl-C. Apart from index.ts, so that a command loads no more than the compiled module for it. */
import { nativeModule } from './native-module.ts'

export interface InterruptWatch {
  /** The first interruption has been acted upon and the process goes on: the next one counts as the first. */
  forget(): void
}

/**
 * From now on the second SIGINT or SIGTERM ends the process with exit code 130 and the terminal as it is now, also where JavaScript
 * or an addon computes without a pause. The first one goes to the handlers of `process.on`, which must be there already. On Linux, a
 * mapped file that is cut short in the middle of its use ends the process with one line that names it and exit code 3, in place of
 * a bare "Bus error". For programs that own their process; nothing of parscale's library calls it.
 *
 * @returns undefined where there is no native module
 */
export function watchInterrupts(): InterruptWatch | undefined {
  const loaded = nativeModule()
  if (!('module' in loaded)) return undefined
  loaded.module.watchInterrupts()
  return { forget: () => loaded.module.forgetInterrupt() }
}
