// Whether a module loads on this machine, and with which instruction sets:   node scripts/try-module.mjs FILE
import { createRequire } from 'node:module'
import { resolve } from 'node:path'

const sets = createRequire(import.meta.url)(resolve(process.argv[2])).instructionSets()
process.stdout.write(`${process.platform}-${process.arch}, Node ${process.version}: ${sets.join(', ')}\n`)
if (!sets.includes('portable')) process.exit(1)
