/** The command as one program, which starts several times faster than its sources: for tests that start it often. */
import { mkdtempSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import { mainPath } from './cli.ts'

// Below the package, whose modules it finds.
const folders = fileURLToPath(new URL('../../.cache', import.meta.url))

/** In a folder of its own, as several files of tests may run at once; the caller removes it. */
export async function bundledCommand(): Promise<{ readonly program: string; readonly folder: string }> {
  const folder = mkdtempSync(`${folders}-`)
  await build({
    entryPoints: { main: mainPath, 'bench/worker': fileURLToPath(new URL('../bench/worker.ts', import.meta.url)) },
    splitting: true,
    bundle: true,
    platform: 'node',
    format: 'esm',
    conditions: ['source'],
    external: [
      ...['onnxruntime-node', '@resvg/resvg-js', '@parscale/native'],
      ...['koffi', '@aws-sdk/client-s3', 'bullmq', 'ioredis'],
    ],
    banner: { js: "import { createRequire as requireOf } from 'node:module'; const require = requireOf(import.meta.url)" },
    outdir: folder,
    logLevel: 'error',
  })
  return { program: join(folder, 'main.js'), folder }
}
