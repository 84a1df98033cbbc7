// Whether a module loads on this machine, and the bits of its steps, which are the same on every machine:
//   node scripts/try-module.mjs MODULE          loads it and prints its instruction sets
//   node scripts/try-module.mjs MODULE MODEL    and takes steps of a packed model with each; prints a hash of what came out
import { createHash } from 'node:crypto'
import { createRequire } from 'node:module'
import { resolve } from 'node:path'

const [path, packed] = process.argv.slice(2)
const native = createRequire(import.meta.url)(resolve(path))
const sets = native.instructionSets()
process.stdout.write(`${process.platform}-${process.arch}, Node ${process.version}: ${sets.join(', ')}\n`)
if (!sets.includes('portable')) throw new Error('there are no portable kernels')
if (packed) {
  const hashes = new Set()
  for (const set of sets) hashes.add(await bitsOf(set))
  if (hashes.size > 1) throw new Error(`the instruction sets differ: ${[...hashes].join(', ')}`)
  process.stdout.write(`${[...hashes][0]}\n`)
}

/** Two rows of tokens, three and two new ones, then one each: what comes out as hidden states and logits. */
async function bitsOf(set) {
  const model = native.openModel(packed, 2, 0, set)
  const { headDim, vocabSize } = native.describe(model)
  const rows = Int32Array.from([native.openRow(model), native.openRow(model)])
  const hash = createHash('sha256')
  for (const [lengths, counts] of [
    [
      [0, 0],
      [3, 2],
    ],
    [
      [3, 2],
      [1, 1],
    ],
  ]) {
    const positions = counts.flatMap((count, row) => Array.from({ length: count }, (_, i) => lengths[row] + i))
    // Rotations need not be those of a real model, but the same everywhere: no sine of this machine's.
    const angles = positions.flatMap((position) => Array.from({ length: headDim / 2 }, (_, i) => (position * (i + 1)) / 64))
    const { hidden } = await native.step(model, {
      rows,
      prefixes: new Int32Array(2),
      prefixScores: new Float32Array(2),
      adapters: new Int32Array(2),
      lengths: Int32Array.from(lengths),
      counts: Int32Array.from(counts),
      ids: Int32Array.from(positions, (position, i) => (position * 37 + i * 11) % vocabSize),
      cosines: Float32Array.from(angles, (angle) => 1 - (angle * angle) / 2),
      sines: Float32Array.from(angles),
      wanted: new Uint8Array(positions.length).fill(1),
    })
    hash.update(Buffer.from(hidden.buffer)).update(Buffer.from((await native.logits(model, hidden)).buffer))
  }
  native.closeModel(model)
  return hash.digest('hex')
}
