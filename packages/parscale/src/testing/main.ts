/** The command line as a process, from source: what bin/parscale.js is after a build. */
import { run } from '../cli.ts'

process.exitCode = await run(process.argv)
