/** How much a command says beside its results: --quiet leaves results and failures, --verbose adds what was chosen and what it took. */
import { type Io, silentProgress } from './io.ts'

/** Set once the command line is read; what is said before that is said. */
export interface Loudness {
  quiet: boolean
  verbose: boolean
}

/** An Io that heeds it. `important` is said all the same. */
export const withLoudness = (io: Io, loudness: Loudness): Io => ({
  ...io,
  stderr: (text) => {
    if (!loudness.quiet) io.stderr(text)
  },
  important: (text) => io.stderr(text),
  detail: (text) => {
    if (loudness.verbose) io.stderr(text)
  },
  progress: (label, unit) => (loudness.quiet ? silentProgress : io.progress(label, unit)),
})
