/**
 * A screenshot as a PNG with a palette of 256 colours, some tenth of its size: flat surfaces and text need no more. Reads what
 * Chromium writes: 8 bits, RGB or RGBA without transparency, not interlaced.
 */
import { crc32, deflateSync, inflateSync } from 'node:zlib'

const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a])

interface Image {
  readonly width: number
  readonly height: number
  /** [height * width], 0xRRGGBB */
  readonly colours: Uint32Array
}

/** @throws Error for a PNG of another kind */
export function paletted(png: Buffer): Buffer {
  const { width, height, colours } = decode(png)
  const counts = new Map<number, number>()
  for (const colour of colours) counts.set(colour, (counts.get(colour) ?? 0) + 1)
  const palette = chosen(counts)
  const index = new Map(palette.map((colour, i) => [colour, i]))
  for (const colour of counts.keys()) if (!index.has(colour)) index.set(colour, nearest(palette, colour))
  const rows = Buffer.alloc(height * (width + 1))
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++) rows[y * (width + 1) + 1 + x] = index.get(colours[y * width + x]!)!
  const header = Buffer.alloc(13)
  header.writeUInt32BE(width, 0)
  header.writeUInt32BE(height, 4)
  header.set([8, 3, 0, 0, 0], 8)
  return Buffer.concat([
    signature,
    chunk('IHDR', header),
    chunk('PLTE', Buffer.from(palette.flatMap((colour) => [colour >> 16, (colour >> 8) & 255, colour & 255]))),
    chunk('IDAT', deflateSync(rows, { level: 9 })),
    chunk('IEND', Buffer.alloc(0)),
  ])
}

/** Surfaces and lines as they are, however alike. */
const flat = 48

/** The most frequent colours; behind the flat ones, none that is close to one that is taken already. */
function chosen(counts: ReadonlyMap<number, number>): number[] {
  const byCount = [...counts].sort((a, b) => b[1] - a[1]).map(([colour]) => colour)
  if (byCount.length <= 256) return byCount
  for (let apart = 4; ; apart *= 2) {
    const palette: number[] = byCount.slice(0, flat)
    for (const colour of byCount.slice(flat)) {
      if (palette.length > 256) break
      if (palette.every((taken) => distance(taken, colour) >= apart)) palette.push(colour)
    }
    if (palette.length <= 256) return palette
  }
}

function nearest(palette: readonly number[], colour: number): number {
  let [best, least] = [0, Infinity]
  for (const [i, taken] of palette.entries()) {
    const apart = distance(taken, colour)
    if (apart < least) [best, least] = [i, apart]
  }
  return best
}

const distance = (a: number, b: number): number =>
  ((a >> 16) - (b >> 16)) ** 2 + (((a >> 8) & 255) - ((b >> 8) & 255)) ** 2 + ((a & 255) - (b & 255)) ** 2

function chunk(type: string, data: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from(type, 'latin1'), data])
  const [length, sum] = [Buffer.alloc(4), Buffer.alloc(4)]
  length.writeUInt32BE(data.length)
  sum.writeUInt32BE(crc32(body))
  return Buffer.concat([length, body, sum])
}

function decode(png: Buffer): Image {
  const data: Buffer[] = []
  for (let at = signature.length; at < png.length; ) {
    const length = png.readUInt32BE(at)
    if (png.toString('latin1', at + 4, at + 8) === 'IDAT') data.push(png.subarray(at + 8, at + 8 + length))
    at += 12 + length
  }
  const [width, height] = [png.readUInt32BE(16), png.readUInt32BE(20)]
  const [depth, type, , , interlace] = png.subarray(24, 29)
  if (depth !== 8 || (type !== 2 && type !== 6) || interlace !== 0) throw new Error('expected a PNG as Chromium writes it')
  const channels = type === 2 ? 3 : 4
  const raw = inflateSync(Buffer.concat(data))
  const stride = width * channels
  const lines = Buffer.alloc(height * stride)
  for (let y = 0; y < height; y++) {
    const filter = raw[y * (stride + 1)]!
    for (let i = 0; i < stride; i++) {
      const at = y * stride + i
      const left = i >= channels ? lines[at - channels]! : 0
      const up = y > 0 ? lines[at - stride]! : 0
      const corner = i >= channels && y > 0 ? lines[at - stride - channels]! : 0
      lines[at] = raw[y * (stride + 1) + 1 + i]! + predicted(filter, left, up, corner)
    }
  }
  const colours = new Uint32Array(width * height)
  for (let i = 0; i < colours.length; i++)
    colours[i] = (lines[i * channels]! << 16) | (lines[i * channels + 1]! << 8) | lines[i * channels + 2]!
  return { width, height, colours }
}

/** PNG, second edition, section 9: filters. */
function predicted(filter: number, left: number, up: number, corner: number): number {
  switch (filter) {
    case 0:
      return 0
    case 1:
      return left
    case 2:
      return up
    case 3:
      return (left + up) >> 1
    default: {
      const p = left + up - corner
      const [a, b, c] = [Math.abs(p - left), Math.abs(p - up), Math.abs(p - corner)]
      return a <= b && a <= c ? left : b <= c ? up : corner
    }
  }
}
