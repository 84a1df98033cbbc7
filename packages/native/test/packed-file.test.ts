/** Packed files that are not what they should be: an error that says what, and never a crash. */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { crc32 } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { fixturesFolder } from '../../core/src/testing/fixtures.ts'
import { type FuzzTarget, fuzz, stopWatching } from '../../core/src/testing/fuzz/fuzz.ts'
import { testSeed as seed } from '../../core/src/testing/seed.ts'
import { NativeAggregator, NativeModel } from '../src/index.ts'
import { type PackedFolder, packFolder } from './support/streams.ts'

const temporary = mkdtempSync(join(tmpdir(), 'parscale-native-'))
const count = Number(process.env.PARSCALE_FUZZ_COUNT ?? 2000)
let packed: PackedFolder
let whole: Buffer

beforeAll(async () => {
  packed = await packFolder(`${fixturesFolder}transformers/qwen3-streams-p2`)
  whole = readFileSync(packed.backbone)
})
afterAll(() => {
  packed.remove()
  rmSync(temporary, { recursive: true })
  stopWatching()
})

/** With a checksum that agrees, so that what is behind it is looked at. */
function sealed(bytes: Buffer): Buffer {
  const length = Math.min(bytes.readUInt32LE(12), bytes.length)
  bytes.writeUInt32LE(0, 24)
  bytes.writeUInt32LE(crc32(bytes.subarray(0, length)), 24)
  return bytes
}

function open(bytes: Buffer): NativeModel {
  const path = join(temporary, 'changed')
  writeFileSync(path, bytes)
  return new NativeModel(path, { threads: 1 })
}

const changed = (change: (bytes: Buffer) => void): Buffer => {
  const bytes = Buffer.from(whole)
  change(bytes)
  return bytes
}

/** First entry of the table of tensors. */
const table = () => 72 + 4 * whole.readUInt32LE(40)

describe('a packed file', () => {
  const damaged: readonly (readonly [what: string, make: () => Buffer | undefined, message: RegExp])[] = [
    ['no file', () => undefined, /cannot be opened/],
    ['nothing in it', () => Buffer.alloc(0), /less than a header/],
    ['something else', () => changed((b) => b.write('safetens')), /does not begin/],
    ['another version', () => changed((b) => b.writeUInt32LE(2, 8)), /version 2, expected 1/],
    ['a bit that fell over', () => changed((b) => b.writeUInt8(b[table()]! ^ 1, table())), /checksum/],
    ['its end missing', () => whole.subarray(0, whole.length - 64), /its header says/],
    ['more heads than fit', () => sealed(changed((b) => b.writeUInt32LE(3, 44))), /do not fit together|shape/],
    ['a head size of 0', () => sealed(changed((b) => b.writeUInt32LE(0, 52))), /head size is 0/],
    ['too many layers', () => sealed(changed((b) => b.writeUInt32LE(1 << 30, 40))), /layers/],
    ['a tensor twice', () => sealed(changed((b) => b.copy(b, table() + 40, table(), table() + 40))), /twice/],
    ['a tensor out of the file', () => sealed(changed((b) => b.writeBigUInt64LE(2n ** 63n, table() + 32))), /lies at byte/],
    ['a tensor off its place', () => sealed(changed((b) => b.writeBigUInt64LE(4n, table() + 32))), /lies at byte 4 /],
    ['a tensor of no kind', () => sealed(changed((b) => b.writeUInt32LE(99, table()))), /unknown kind/],
    ['a tensor in no format', () => sealed(changed((b) => b.writeUInt32LE(9, table() + 8))), /format 9/],
    [
      'blocks of which sums do not fit into 32 bits',
      () =>
        sealed(
          changed((b) => {
            b.writeUInt32LE(2, table() + 8)
            b.writeUInt32LE(1 << 17, table() + 12)
          }),
        ),
      /blocks of 131072/,
    ],
    ['a head too many', () => sealed(changed((b) => b.writeUInt32LE(8192, 44))), /do not fit together/],
    [
      'blocks of 24',
      () =>
        sealed(
          changed((b) => {
            b.writeUInt32LE(2, table() + 8)
            b.writeUInt32LE(24, table() + 12)
          }),
        ),
      /blocks of 24/,
    ],
    ['another shape', () => sealed(changed((b) => b.writeUInt32LE(b.readUInt32LE(32) * 2, 32))), /shape/],
  ]
  it.each(damaged)('with %s is refused', (_, make, message) => {
    const bytes = make()
    if (!bytes) expect(() => new NativeModel(join(temporary, 'none'))).toThrow(message)
    else expect(() => open(bytes)).toThrow(message)
  })

  it('that is no file, or whose name ends early, is refused', () => {
    const pipe = join(temporary, 'pipe')
    execFileSync('mkfifo', [pipe])
    expect(() => new NativeModel(pipe)).toThrow(/no regular file/)
    expect(() => new NativeModel(temporary)).toThrow(/no regular file/)
    expect(() => new NativeModel(`${packed.backbone}\0.part`)).toThrow(/code 0/)
  })

  it('that holds the other kind of model is refused', () => {
    expect(() => new NativeModel(packed.aggregators.get(2)!)).toThrow(/expected a backbone/)
    expect(() => new NativeAggregator(packed.backbone)).toThrow(/expected an aggregator/)
  })

  it(`with any changes is refused or runs, seed ${seed}`, async () => {
    const header = whole.readUInt32LE(12)
    const target: FuzzTarget = {
      name: 'packed file',
      // Half of the changes are to the header alone, which says where everything is.
      seeds: [whole.subarray(0, header), whole],
      parse: async (bytes) => {
        const isHeader = Math.abs(bytes.length - header) < Math.abs(bytes.length - whole.length)
        const changedFile = Buffer.concat(isHeader ? [bytes, whole.subarray(header)] : [bytes])
        const model = open(changedFile.length >= 28 ? sealed(changedFile) : changedFile)
        try {
          await runOnce(model)
        } finally {
          await model.dispose()
        }
      },
      kinds: ['checkpoint'],
      growth: 100,
      again: (seed, index) =>
        `PARSCALE_SEED=${seed} PARSCALE_FUZZ_COUNT=${index + 1} npx vitest run packages/native/test/packed-file.test.ts`,
    }
    const { accepted } = await fuzz(target, { seed, count })
    expect(accepted).toBeGreaterThan(0)
    expect(accepted).toBeLessThan(count)
  })
})

async function runOnce(model: NativeModel): Promise<void> {
  const half = model.facts.headDim / 2
  await model.run({
    rows: Int32Array.from(model.openRows(1)),
    prefixes: Int32Array.of(0),
    prefixScores: Float32Array.of(0),
    lengths: Int32Array.of(0),
    counts: Int32Array.of(2),
    adapters: Int32Array.of(0),
    ids: Int32Array.of(0, model.facts.vocabSize - 1),
    cosines: new Float32Array(2 * half).fill(1),
    sines: new Float32Array(2 * half),
    wanted: Uint8Array.of(1, 1),
  })
}
