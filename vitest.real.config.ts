import process from 'node:process'
import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'
import { install } from './packages/native/scripts/install.mjs'

await install()

// Slow checks on real material: SmolLM2, llama.cpp, Python peers, software WebGPU. With PARSCALE_NIGHTLY, the slowest too.
export default defineConfig({
  resolve: { conditions: ['source'] },
  ssr: { resolve: { conditions: ['source', 'node', 'import', 'default'] } },
  test: {
    include: ['real', ...(process.env.PARSCALE_NIGHTLY ? ['nightly'] : [])].flatMap((kind) => [
      `packages/**/*.${kind}.test.ts`,
      `test/**/*.${kind}.test.ts`,
    ]),
    exclude: ['**/node_modules/**', '**/dist/**'],
    setupFiles: ['test/setup.ts'],
    // Nothing of the tests' in the user's cache.
    env: { PARSCALE_CACHE: fileURLToPath(new URL('.cache/tests', import.meta.url)) },
    // Against what hangs: how long a test takes is the machine's affair, and no test is about it.
    testTimeout: process.env.PARSCALE_NIGHTLY ? 3_600_000 : 1_200_000,
    hookTimeout: process.env.PARSCALE_NIGHTLY ? 3_600_000 : 1_200_000,
    expect: { poll: { timeout: 600_000, interval: 5 } },
    maxWorkers: 2,
  },
})
