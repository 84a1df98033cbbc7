/** Model files that change between the reading of their headers and the engine that opens them: refused, never another's weights. */
import { cpSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { byteModel } from '../../../core/src/testing/fixtures.ts'
import { engines } from '../testing/engines.ts'
import { loadTextModel } from './load.ts'

let folder: string
let model: string
let weights: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'parscale-replaced-'))
  model = join(folder, 'model')
  weights = join(model, 'model.safetensors')
  cpSync(byteModel, model, { recursive: true })
})
afterEach(() => rmSync(folder, { recursive: true }))

/** Other weights under the same header. */
function others(): Uint8Array {
  const bytes = new Uint8Array(readFileSync(weights))
  const header = 8 + Number(new DataView(bytes.buffer).getBigUint64(0, true))
  bytes.copyWithin(header, header + 64)
  return bytes
}

const changes: readonly [string, () => void][] = [
  [
    'replaced',
    () => {
      writeFileSync(`${weights}.new`, others())
      renameSync(`${weights}.new`, weights)
    },
  ],
  ['written over', () => writeFileSync(weights, others())],
  ['cut short', () => writeFileSync(weights, others().subarray(0, -100))],
]

for (const engine of engines) {
  it.each(changes)(`${engine}: %s`, async (_, change) => {
    const env = { PARSCALE_CACHE: join(folder, 'cache') }
    const load = (onEngine?: () => void) => loadTextModel(model, { engine, threads: 1, env, onEngine })
    const options = { maxTokens: 8, temperature: 0 }
    const before = await load()
    await before.generate('The whale', options)
    await before.dispose()
    await expect(load(change)).rejects.toMatchObject({
      kind: 'checkpoint',
      message: expect.stringMatching(/model\.safetensors: was changed while it was being read; load it again/),
    })
  })
}
