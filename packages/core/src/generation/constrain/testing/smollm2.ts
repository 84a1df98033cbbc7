/** SmolLM2's tokenizer, from its GGUF file, which is fetched where it is missing. */
import { execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { parseGguf } from '../../../checkpoint/gguf/gguf.ts'
import { openFileSource } from '../../../node/disk/file-source.ts'
import { tokenizerFilesFromGguf } from '../../../tokenizer/gguf/tokenizer.ts'
import type { TokenizerFiles } from '../../../tokenizer/types.ts'

export async function smollm2Files(): Promise<TokenizerFiles> {
  const script = fileURLToPath(new URL('../../../../../../scripts/fetch-smollm2.mjs', import.meta.url))
  const path = execFileSync(process.execPath, [script], { encoding: 'utf8' }).trim()
  const source = await openFileSource(path)
  const found = tokenizerFilesFromGguf((await parseGguf(source)).metadata, path)!
  await source.close()
  return { tokenizerJson: found['tokenizer.json'], tokenizerConfig: found['tokenizer_config.json'] }
}
