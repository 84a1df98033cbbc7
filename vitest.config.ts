import { existsSync } from 'node:fs'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'

// Where there was no compiler at install, the native step is not there, and everything else works without it.
const native = existsSync('packages/native/build/Release/parscale.node')
if (!native) process.stderr.write('packages/native is not built (no C++ compiler at install): its tests are left out\n')

// Tests run from `src` through the `source` export condition: no build needed.
export default defineConfig({
  resolve: { conditions: ['source'] },
  ssr: { resolve: { conditions: ['source', 'node', 'import', 'default'] } },
  test: {
    include: ['packages/*/src/**/*.test.ts', 'packages/*/test/**/*.test.ts', 'test/**/*.test.ts'],
    exclude: ['**/node_modules/**', '**/dist/**', '**/*.real.test.ts', ...(native ? [] : ['packages/native/**'])],
    setupFiles: ['test/setup.ts'],
    // Nothing of the tests' in the user's cache.
    env: { PARSCALE_CACHE: fileURLToPath(new URL('.cache/tests', import.meta.url)) },
    testTimeout: 60_000,
    hookTimeout: 120_000,
    maxWorkers: 2,
  },
})
