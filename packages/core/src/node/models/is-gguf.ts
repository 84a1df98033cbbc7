/** Tells a GGUF file from a model's folder. */
import { stat } from 'node:fs/promises'
import { checkpointError, unsupportedError } from '../../errors.ts'

/**
 * True for a GGUF file, false for a folder.
 *
 * @throws checkpoint error for anything else
 */
export async function isGgufFile(path: string): Promise<boolean> {
  const found = await stat(path).catch((cause: NodeJS.ErrnoException) => {
    throw checkpointError(`${path}: there is no such file or folder (${cause.code}); check the path`, { file: path, cause })
  })
  if (found.isDirectory()) return false
  const [, count] = /-\d{5}-of-(\d{5})\.gguf$/i.exec(path) ?? []
  if (count !== undefined && Number(count) > 1) {
    throw unsupportedError(
      `${path}: is one of ${Number(count)} parts of a split GGUF file; join them with: llama-gguf-split --merge`,
      { file: path },
    )
  }
  if (path.toLowerCase().endsWith('.gguf')) return true
  throw checkpointError(`${path}: expected a model's folder or a .gguf file; for a .safetensors file give its folder`, {
    file: path,
  })
}
