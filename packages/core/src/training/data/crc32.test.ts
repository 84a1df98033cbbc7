import { expect, test } from 'vitest'
import { crc32, crc32c } from './crc32.ts'

const ascii = (text: string) => new TextEncoder().encode(text)
const bytes = (value: (i: number) => number) => Uint8Array.from({ length: 32 }, (_, i) => value(i))

test('CRC-32 of the usual check value', () => {
  expect(crc32(ascii('123456789'))).toBe(0xcbf43926)
})

test('CRC-32C of the check value and of the vectors in RFC 3720, B.4', () => {
  expect(crc32c(ascii('123456789'))).toBe(0xe3069283)
  expect(crc32c(bytes(() => 0))).toBe(0x8a9136aa)
  expect(crc32c(bytes(() => 0xff))).toBe(0x62a8ab43)
  expect(crc32c(bytes((i) => i))).toBe(0x46dd794e)
  expect(crc32c(bytes((i) => 31 - i))).toBe(0x113fdb5c)
})

test('a checksum can be carried on', () => {
  expect(crc32c(ascii('56789'), crc32c(ascii('1234')))).toBe(0xe3069283)
})
