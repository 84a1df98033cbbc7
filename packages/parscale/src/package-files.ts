/**
 * Files of this package, from where this one lies: its folder is that of the package's entries, in `src` and in `dist`, and where the
 * published build puts modules together, all parts lie there as well.
 */
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

/** The version of this package, as its package.json says. */
export const packageVersion = (): string =>
  (JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as { version: string }).version

/** The model that ships with the package: small, trained on public prose, with P = 1, 2, 4 and 8. Its card is README.md in it. */
export const shippedModel = fileURLToPath(new URL('../models/small', import.meta.url))

/** What runs in the sandbox of `parscale judge`. */
export const judgeScript = fileURLToPath(new URL('../sandbox/judge.py', import.meta.url))

/** Task files that ship with the package, for `parscale eval`. */
export const taskFolder = fileURLToPath(new URL('../tasks', import.meta.url))

/** The studio's page as `npm run build` leaves it. */
export const studioFolder = fileURLToPath(new URL('../dist/studio-page', import.meta.url))

/** The command, for processes of its own. It needs the build. */
export const cliPath = fileURLToPath(new URL('../bin/parscale.js', import.meta.url))

/** Whether this runs from source, so that processes that it starts do, too. */
export const isSource = import.meta.url.endsWith('.ts')

/** The process that measures one turn of a bench. */
export const benchWorker = fileURLToPath(new URL(`./bench/worker.${isSource ? 'ts' : 'js'}`, import.meta.url))
