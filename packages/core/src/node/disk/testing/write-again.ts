/** Writes again and again until it is killed, and says when it begins. Arguments: what, folder, number of the first round. */
import process from 'node:process'
import { writers } from './writers.ts'

const [, , what, folder, first] = process.argv as [string, string, string, string, string]
process.stdout.write('begun\n')
for (let round = Number(first); ; round++) await writers[what]!(folder, round)
