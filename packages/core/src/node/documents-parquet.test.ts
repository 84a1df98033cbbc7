import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'
import { parquetDocuments } from './documents-parquet.ts'
import { openFileSource } from './file-source.ts'

it('says what is missing where the library is not installed', async () => {
  const source = await openFileSource(fileURLToPath(new URL('../../../../fixtures/data/chat.parquet', import.meta.url)))
  const load = (name: string) => Promise.reject(new Error(`Cannot find package '${name}'`))
  await expect(parquetDocuments(source, {}, load).next()).rejects.toThrow(
    /chat\.parquet: Parquet needs the packages hyparquet and hyparquet-compressors; install them, or convert/,
  )
  await source.close()
})
