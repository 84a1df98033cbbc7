/** Little-endian bytes by hand, for files whose every byte a test decides. */

const packed = (length: number, set: (view: DataView) => void): Uint8Array => {
  const view = new DataView(new ArrayBuffer(length))
  set(view)
  return new Uint8Array(view.buffer)
}

export const u8 = (value: number): Uint8Array => packed(1, (view) => view.setUint8(0, value))
export const u32 = (value: number): Uint8Array => packed(4, (view) => view.setUint32(0, value, true))
export const i32 = (value: number): Uint8Array => packed(4, (view) => view.setInt32(0, value, true))
export const f32 = (value: number): Uint8Array => packed(4, (view) => view.setFloat32(0, value, true))
export const f64 = (value: number): Uint8Array => packed(8, (view) => view.setFloat64(0, value, true))
export const u64 = (value: number | bigint): Uint8Array => packed(8, (view) => view.setBigUint64(0, BigInt(value), true))
export const i64 = (value: number | bigint): Uint8Array => packed(8, (view) => view.setBigInt64(0, BigInt(value), true))
export const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text)
/** A string as GGUF stores it: length, then UTF-8. */
export const ggufText = (text: string): Uint8Array => join(u64(utf8(text).byteLength), utf8(text))

export function join(...parts: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.byteLength, 0))
  let at = 0
  for (const part of parts) {
    bytes.set(part, at)
    at += part.byteLength
  }
  return bytes
}

/** A safetensors file with this header, as text or as an object, and so many bytes of data. */
export function safetensorsBytes(header: string | object, data: number | Uint8Array): Uint8Array {
  const json = utf8(typeof header === 'string' ? header : JSON.stringify(header))
  return join(u64(json.byteLength), json, typeof data === 'number' ? new Uint8Array(data) : data)
}
