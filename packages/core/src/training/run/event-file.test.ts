import fc from 'fast-check'
import { expect, test } from 'vitest'
import { fileVersionRecord, scalarsRecord, wholeRecordBytes } from './event-file.ts'

const hex = (bytes: Uint8Array) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')

/*
 * Recorded with tensorboard 2.21.0:
 *   from tensorboard.compat.proto import event_pb2, summary_pb2
 *   from tensorboard.summary.writer.record_writer import RecordWriter
 *   RecordWriter(file).write(event_pb2.Event(wall_time=..., ...).SerializeToString())
 */
test('writes the bytes that TensorBoard writes', () => {
  expect(hex(fileVersionRecord(1700000000.25))).toBe(
    '1800000000000000a37f4b220900001040fc54d9411a0d627261696e2e4576656e743a32338d2fe9',
  )
  const scalars = [
    ['train/loss', 2.75],
    ['train/Verlust ä', -1e-3],
  ] as const
  expect(hex(scalarsRecord(1700000000.5, 300, scalars))).toBe(
    '3a000000000000001295eae20900002040fc54d94110ac022a2c0a110a0a747261696e2f6c6f737315000030400a170a' +
      '10747261696e2f5665726c75737420c3a4156f1283ba1494c565',
  )
})

test('takes every number that JavaScript has', () => {
  const values = [Number.NaN, Infinity, -Infinity, 1e300, -0, 5e-324].map((value) => ['a', value] as const)
  const record = scalarsRecord(0, 0, values)
  expect(wholeRecordBytes(record)).toBe(record.length)
})

test('a file is whole up to where it was cut off or damaged', () => {
  const records = [fileVersionRecord(1), scalarsRecord(2, 1, [['a', 1]]), scalarsRecord(3, 2, [['a', 2]])]
  const file = Uint8Array.from(records.flatMap((record) => [...record]))
  const ends = records.map((_, i) => records.slice(0, i + 1).reduce((sum, { length }) => sum + length, 0))
  const wholeBefore = (position: number) => ends.filter((end) => end <= position).at(-1) ?? 0
  const position = fc.nat(file.length - 1)
  fc.assert(fc.property(position, (cut) => wholeRecordBytes(file.subarray(0, cut)) === wholeBefore(cut)))
  fc.assert(
    fc.property(position, fc.integer({ min: 1, max: 255 }), (at, flip) => {
      const damaged = file.map((byte, i) => (i === at ? byte ^ flip : byte))
      expect(wholeRecordBytes(damaged)).toBe(wholeBefore(at))
    }),
  )
  expect(wholeRecordBytes(file)).toBe(file.length)
})
