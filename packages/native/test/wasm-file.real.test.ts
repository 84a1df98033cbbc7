/** The compiled step that the repository keeps is what its sources compile to. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, expect, it } from 'vitest'
import { pythonEnvironment } from '../../../scripts/python-env.mjs'
import { buildWasm, variants } from '../scripts/build-wasm.mjs'

const folder = mkdtempSync(join(tmpdir(), 'parscale-wasm-'))
afterAll(() => rmSync(folder, { recursive: true }))

it('is the same bytes, made anew', () => {
  buildWasm(folder, `${pythonEnvironment('zig')} -m ziglang`)
  const kept = fileURLToPath(new URL('../../core/wasm/', import.meta.url))
  for (const name of Object.keys(variants))
    expect(
      readFileSync(join(folder, name)).equals(readFileSync(join(kept, name))),
      `npm run build:wasm makes another ${name}`,
    ).toBe(true)
})
