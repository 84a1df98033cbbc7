/** CRC-32 and CRC-32C. They find damage, not forgery. */

type Crc = (bytes: Uint8Array, before?: number) => number

/** CRC-32 as zip and PNG use it (ISO 3309). @param before the checksum of the bytes before these */
export const crc32: Crc = reflectedCrc(0xedb88320)

/** CRC-32C, Castagnoli's polynomial, as iSCSI (RFC 3720, B.4) and TensorFlow's records use it. */
export const crc32c: Crc = reflectedCrc(0x82f63b78)

function reflectedCrc(polynomial: number): Crc {
  const table = Uint32Array.from({ length: 256 }, (_, byte) => {
    let value = byte
    for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ polynomial : value >>> 1
    return value
  })
  return (bytes, before = 0) => {
    let value = ~before
    for (let i = 0; i < bytes.length; i++) value = table[(value ^ bytes[i]!) & 0xff]! ^ (value >>> 8)
    return ~value >>> 0
  }
}
