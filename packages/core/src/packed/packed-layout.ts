/** The packed file's header and table of tensors, as packed-file.h describes them. */
import type { ModelConfig } from '../model/index.ts'

export const formats = { float32: 0, bfloat16: 1, int8: 2, int4: 3 } as const
export type Format = keyof typeof formats

/** In the order of packed-file.cc. */
export const roles = [
  'embedding',
  'output',
  'finalNorm',
  'inputNorm',
  'postNorm',
  'qNorm',
  'kNorm',
  'q',
  'k',
  'v',
  'o',
  'gate',
  'up',
  'down',
  'qBias',
  'kBias',
  'vBias',
  'oBias',
  'gateBias',
  'upBias',
  'downBias',
  'aggregatorInner',
  'aggregatorInnerBias',
  'aggregatorOuter',
  'aggregatorOuterBias',
] as const
export type Role = (typeof roles)[number]

/** How a tensor lies in the packed file. */
export interface Layout {
  readonly role: Role
  readonly layer: number
  readonly format: Format
  /** 0: not quantised. */
  readonly blockSize: number
  readonly hasMinima: boolean
  readonly outputs: number
  /** 1 for a vector, which is stored as it is. */
  readonly inputs: number
  readonly isVector: boolean
}

/** Outputs that lie side by side. */
export const lanes = 16
const alignment = 64
const fixedHeaderBytes = 72
const entryBytes = 40

const aligned = (bytes: number): number => Math.ceil(bytes / alignment) * alignment

/** Scales, minima and integers of 16 outputs and one block of inputs. */
export const recordBytes = ({ format, blockSize, hasMinima }: Layout): number =>
  (hasMinima ? 128 : 64) + (blockSize * lanes) / (format === 'int8' ? 1 : 2)

export function panelBytes(layout: Layout): number {
  if (layout.blockSize > 0) return (layout.inputs / layout.blockSize) * recordBytes(layout)
  return layout.inputs * lanes * (layout.format === 'float32' ? 4 : 2)
}

export const tensorBytes = (layout: Layout): number =>
  layout.isVector ? layout.outputs * 4 : Math.ceil(layout.outputs / lanes) * panelBytes(layout)

/** The header, and where each tensor begins. `kind`: the file holds a backbone or an aggregator. */
export function planFile(config: ModelConfig, kind: 'backbone' | 'aggregator', tensors: readonly Layout[]) {
  const windows = kind === 'backbone' ? config.slidingWindows : []
  const headerBytes = fixedHeaderBytes + 4 * windows.length + entryBytes * tensors.length
  const offsets: number[] = []
  let end = aligned(headerBytes)
  for (const tensor of tensors) {
    offsets.push(end)
    end = aligned(end + tensorBytes(tensor))
  }
  const header = new Uint8Array(headerBytes)
  const view = new DataView(header.buffer)
  let at = 0
  const u32 = (x: number) => {
    view.setUint32(at, x, true)
    at += 4
  }
  const u64 = (x: number) => {
    view.setBigUint64(at, BigInt(x), true)
    at += 8
  }
  const f32 = (x: number) => {
    view.setFloat32(at, x, true)
    at += 4
  }
  header.set(new TextEncoder().encode('parscale'))
  at = 8
  u32(1)
  u32(headerBytes)
  u64(end)
  u32(0) // the checksum's place
  for (const size of [config.vocabSize, config.hiddenSize, config.intermediateSize, windows.length]) u32(size)
  for (const size of [config.numAttentionHeads, config.numKeyValueHeads, config.headDim]) u32(size)
  u32(kind === 'aggregator' ? config.parscale.n : 0)
  f32(config.rmsNormEps)
  f32(config.parscale.attnSmooth)
  u32(tensors.length)
  for (const window of windows) u32(window ?? 0)
  for (const [i, { role, layer, format, blockSize, outputs, inputs, hasMinima }] of tensors.entries()) {
    for (const x of [roles.indexOf(role), layer, formats[format], blockSize, outputs, inputs, hasMinima ? 1 : 0, 0]) u32(x)
    u64(offsets[i]!)
  }
  view.setUint32(24, crc32(header), true)
  return { header, offsets, totalBytes: end }
}

/** CRC-32 as in zip and PNG. */
function crc32(bytes: Uint8Array): number {
  let crc = ~0
  for (const byte of bytes) {
    crc ^= byte
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0)
  }
  return ~crc >>> 0
}

/** How most of a file's layers are stored, for people: `4 bits`. */
export function packedWeightsText(layouts: readonly Layout[]): string {
  const bytes = new Map<string, number>()
  for (const layout of layouts) {
    const { format } = layout
    const text = { int4: '4 bits', int8: '8 bits' }[format as string] ?? format
    if (!layout.isVector && layout.role !== 'embedding' && layout.role !== 'output')
      bytes.set(text, (bytes.get(text) ?? 0) + tensorBytes(layout))
  }
  return [...bytes].sort(([, a], [, b]) => b - a)[0]?.[0] ?? 'float32'
}
