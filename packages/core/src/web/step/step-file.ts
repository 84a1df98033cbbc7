/** The compiled step's file: the one with products of bytes where the browser has them ("relaxed SIMD"), else the other. */
import { sha256 } from '@noble/hashes/sha2.js'
import { runtimeError } from '../../errors.ts'

export interface StepFile {
  readonly module: WebAssembly.Module
  /** Of its content. */
  readonly version: string
}

/** A function of one product of bytes. */
const relaxedProduct = Uint8Array.of(
  ...[0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 15, 1, 13, 0],
  ...[65, 0, 253, 15, 65, 0, 253, 15, 253, 146, 2, 11],
)

const files = new Map<string, Promise<StepFile>>()

/**
 * Fetches and compiles it, once in a thread.
 *
 * @param folder default: where the bundler put it
 * @throws runtime error where it cannot be fetched, or the browser does not take it
 */
export function stepFile(folder: string | undefined): Promise<StepFile> {
  const url = urlOf(folder)
  const before = files.get(url)
  if (before) return before
  const begun = compiled(url)
  files.set(url, begun)
  begun.catch(() => files.delete(url))
  return begun
}

function urlOf(folder: string | undefined): string {
  const isRelaxed = WebAssembly.validate(relaxedProduct)
  if (folder !== undefined) return new URL(isRelaxed ? 'step-relaxed.wasm' : 'step.wasm', folder).href
  // Bundlers know these expressions, and no other ones.
  if (isRelaxed) return new URL('../../../wasm/step-relaxed.wasm', import.meta.url).href
  return new URL('../../../wasm/step.wasm', import.meta.url).href
}

async function compiled(url: string): Promise<StepFile> {
  const response = await fetch(url).catch((cause) => {
    throw runtimeError(`${url} cannot be fetched: ${(cause as Error).message}`, { cause })
  })
  if (!response.ok) throw runtimeError(`${url} answers ${response.status}`)
  const bytes = new Uint8Array(await response.arrayBuffer())
  const digest = [...sha256(bytes).subarray(0, 8)].map((byte) => byte.toString(16).padStart(2, '0')).join('')
  return { module: await WebAssembly.compile(bytes), version: digest }
}
