/**
 * The self-test that a kept model has passed, beside its files. It need not be run again by the same browser on the same device, which is as much as
 * a second of the first answer.
 */
import type { BrowserModelInfo } from '../types.ts'
import { contentDigest, openWriter, readManifest, storageRoot, verdictName } from './storage.ts'

export type SelfTest = BrowserModelInfo['selfTest']

/** Of one kept model. */
export interface KeptVerdict {
  /** @param how everything beside the files that the verdict depends on */
  read(how: string): Promise<SelfTest | undefined>
  /** What cannot be written is tested again next time. */
  write(how: string, selfTest: SelfTest): Promise<void>
}

export function keptVerdict(key: string): KeptVerdict {
  const open = async () => {
    const folder = await (await storageRoot())?.getDirectoryHandle(key)
    const manifest = folder && (await readManifest(folder))
    return folder && manifest?.complete ? { folder, digest: contentDigest(manifest.files) } : undefined
  }
  return {
    async read(how) {
      try {
        const { folder, digest } = (await open())!
        const file = await (await folder.getFileHandle(verdictName)).getFile()
        const kept = JSON.parse(await file.text())
        return kept.digest === digest && kept.how === how ? kept.selfTest : undefined
      } catch {
        return undefined
      }
    },
    async write(how, selfTest) {
      try {
        const { folder, digest } = (await open())!
        const writer = await openWriter(await folder.getFileHandle(verdictName, { create: true }), 0)
        try {
          await writer.write(new TextEncoder().encode(JSON.stringify({ digest, how, selfTest })))
        } finally {
          await writer.close()
        }
      } catch {}
    },
  }
}
