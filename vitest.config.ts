import process from 'node:process'
import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'
import { install } from './packages/native/scripts/install.mjs'
import { modulePaths } from './packages/native/scripts/prebuilt.mjs'

// Compiles the native step unless it is there. Where no compiler is, everything else works without it.
const line = await install()
const native = modulePaths().length > 0
if (!native) process.stderr.write(`packages/native is not built, its tests are left out: ${line}\n`)

// Tests run from `src` through the `source` export condition: no build needed.
export default defineConfig({
  resolve: { conditions: ['source'] },
  ssr: { resolve: { conditions: ['source', 'node', 'import', 'default'] } },
  test: {
    include: ['packages/*/src/**/*.test.ts', 'packages/*/test/**/*.test.ts', 'apps/*/src/**/*.test.ts', 'test/**/*.test.ts'],
    exclude: ['**/node_modules/**', '**/dist/**', '**/*.{real,nightly}.test.ts', ...(native ? [] : ['packages/native/**'])],
    setupFiles: ['test/setup.ts'],
    // Nothing of the tests' in the user's cache.
    env: { PARSCALE_CACHE: fileURLToPath(new URL('.cache/tests', import.meta.url)) },
    // They bring `source` conditions of their own, which Node would follow into TypeScript.
    server: { deps: { inline: ['ai', /@ai-sdk\//, /@modelcontextprotocol\//, /eventsource/] } },
    // Against what hangs: how long a test takes is the machine's affair, and no test is about it.
    testTimeout: 600_000,
    hookTimeout: 600_000,
    expect: { poll: { timeout: 300_000, interval: 5 } },
    maxWorkers: 2,
  },
})
