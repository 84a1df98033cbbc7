/** The near-identity start on a model that people use: SmolLM2-135M-Instruct, whose logits go up to 33. */
import { execFileSync } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { openModelPath } from '../../node/index.ts'
import { nearIdentityChoices, startNearIdentity } from '../../testing/near-identity.ts'
import { createTokenizer } from '../../tokenizer/index.ts'

const text =
  'It is a truth universally acknowledged, that a single man in possession of a good fortune, must be in want of a wife.'

let scratch: string
let model: string
let ids: number[]
beforeAll(async () => {
  const script = fileURLToPath(new URL('../../../../../scripts/fetch-smollm2.mjs', import.meta.url))
  const gguf = execFileSync(process.execPath, [script], { encoding: 'utf8' }).trim()
  scratch = await mkdtemp(join(tmpdir(), 'parscale-'))
  const open = await openModelPath(gguf, { cacheDirectory: join(scratch, 'cache') })
  model = open.path
  const tokenizerJson = JSON.parse((await open.readText('tokenizer.json'))!)
  ids = createTokenizer({ tokenizerJson }).encode(text)
  await open.close()
})
afterAll(() => rm(scratch, { recursive: true }))

it.each(Object.entries(nearIdentityChoices))('%s', async (name, options) => {
  const { change, largest, silent } = await startNearIdentity(model, join(scratch, name), options, ids, 3)
  console.log(`${name}: logits of up to ${largest} changed by at most ${change}`)
  expect(change).toBeLessThan(1e-5)
  expect(silent).toEqual([])
})
