// The step for pages, into ../core/wasm: step.wasm, and step-relaxed.wasm for browsers that have products of bytes.
//   ZIG="$(node scripts/python-env.mjs zig) -m ziglang" npm run build:wasm
// The compiler is zig of the version below, with which these files are the same bytes anywhere: test/wasm-file.real.test.ts. They are kept in
// the repository, as who builds the rest need not have it.
import { spawnSync } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import process from 'node:process'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))

const sources = [
  ...['kernels/simd128', 'wasm/module', 'wasm/heap', 'mapped-file-wasm'],
  ...['adapters', 'cache', 'linear', 'packed-file', 'step', 'thread-pool'],
].map((name) => `src/${name}.cc`)

const flags = [
  ...['-target', 'wasm32-wasi', '-mexec-model=reactor', '-std=c++17', '-O3', '-s'],
  // As for all other CPUs (build.mjs). What is thrown goes to JavaScript (wasm/module.cc).
  ...['-ffp-contract=off', '-fno-math-errno', '-fvisibility=hidden', '-Wall', '-Wextra', '-fexceptions'],
  // Threads over one memory, which JavaScript makes.
  ...['-msimd128', '-matomics', '-mbulk-memory'],
  ...['--import-memory', '--shared-memory', '--initial-memory=4194304', '--max-memory=4294901760', '-z,stack-size=1048576']
    .concat(['__stack_pointer', '__tls_size', '__wasm_init_tls'].map((name) => `--export=${name}`))
    .map((flag) => `-Wl,${flag}`),
]

/** File names with what they are compiled for beside. */
export const variants = { 'step.wasm': [], 'step-relaxed.wasm': ['-mrelaxed-simd'] }

/** Compiles all variants into a folder. */
export function buildWasm(into, zig = process.env.ZIG ?? 'zig') {
  const [command, ...words] = zig.split(' ')
  mkdirSync(into, { recursive: true })
  for (const [name, own] of Object.entries(variants)) {
    const { status, stderr, error } = spawnSync(
      command,
      [...words, 'c++', ...flags, ...own, ...sources, '-o', join(into, name)],
      {
        cwd: root,
        encoding: 'utf8',
      },
    )
    if (error) throw new Error(`${command}: ${error.message}; ZIG names zig's compiler`)
    if (status !== 0) throw new Error(stderr)
    process.stderr.write(stderr)
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) buildWasm(join(root, '../core/wasm'))
