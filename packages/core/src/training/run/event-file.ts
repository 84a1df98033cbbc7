/**
 * TensorBoard's event files: protobuf messages (tensorflow/core/util/event.proto, framework/summary.proto) in records with
 * checksums (tensorflow/core/lib/io/record_writer.h). Scalars only.
 *
 *     record = length (uint64) | masked CRC-32C of the length | message | masked CRC-32C of the message      little-endian
 */
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire'
import { crc32c } from '../data/crc32.ts'

/** What every file begins with; TensorBoard refuses others. */
export function fileVersionRecord(wallTimeSeconds: number): Uint8Array<ArrayBuffer> {
  return record(event(wallTimeSeconds).tag(3, WireType.LengthDelimited).string('brain.Event:2').finish())
}

/** One event with a value per tag. Tags that share what stands before a slash share a section of the page. */
export function scalarsRecord(
  wallTimeSeconds: number,
  step: number,
  scalars: Iterable<readonly [tag: string, value: number]>,
): Uint8Array<ArrayBuffer> {
  const writer = event(wallTimeSeconds, step).tag(5, WireType.LengthDelimited).fork() // Event.summary
  for (const [tag, value] of scalars) {
    writer.tag(1, WireType.LengthDelimited).fork() // Summary.value
    writer.tag(1, WireType.LengthDelimited).string(tag)
    writer.tag(2, WireType.Bit32).float(Math.fround(value)) // simple_value; the codec refuses numbers beyond the type
    writer.join()
  }
  return record(writer.join().finish())
}

/** How many of these bytes are whole, undamaged records; what follows was cut off while it was written. */
export function wholeRecordBytes(bytes: Uint8Array): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const matches = (from: number, length: number) =>
    view.getUint32(from + length, true) === maskedCrc(bytes.subarray(from, from + length))
  let position = 0
  while (position + lengthBytes + crcBytes <= bytes.byteLength && matches(position, lengthBytes)) {
    const start = position + lengthBytes + crcBytes
    const length = Number(view.getBigUint64(position, true))
    const end = start + length + crcBytes
    if (end > bytes.byteLength || !matches(start, length)) break
    position = end
  }
  return position
}

const lengthBytes = 8
const crcBytes = 4

/** @param step left out where it is 0, as protobuf has it */
function event(wallTimeSeconds: number, step = 0): BinaryWriter {
  const writer = new BinaryWriter().tag(1, WireType.Bit64).double(wallTimeSeconds)
  return step === 0 ? writer : writer.tag(2, WireType.Varint).int64(step)
}

function record(message: Uint8Array): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(lengthBytes + crcBytes + message.length + crcBytes)
  const view = new DataView(bytes.buffer)
  view.setBigUint64(0, BigInt(message.length), true)
  view.setUint32(lengthBytes, maskedCrc(bytes.subarray(0, lengthBytes)), true)
  bytes.set(message, lengthBytes + crcBytes)
  view.setUint32(bytes.length - crcBytes, maskedCrc(message), true)
  return bytes
}

/** Rotated and moved, since a checksum over bytes that hold checksums is weak (tensorflow/core/lib/hash/crc32c.h). */
function maskedCrc(bytes: Uint8Array): number {
  const crc = crc32c(bytes)
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0
}
