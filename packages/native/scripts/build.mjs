// Compiles the native module into build/Release/parscale.node: with the system's C++ compiler, or for other platforms with zig's. A small script instead of node-gyp:
// that one fetches Node's headers from a host of its own; these come from the package registry (node-api-headers).
//   node scripts/build.mjs                                        the module
//   node scripts/build.mjs --program stress --sanitize thread     a program of test/ instead, under a sanitizer of the compiler
//   node scripts/build.mjs --program kernels --arch arm64         for another CPU, where its cross compiler is
import { spawn } from 'node:child_process'
import { mkdirSync, renameSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { availableParallelism } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { nodeImports, zigCompiler, zigFlag } from './zig.mjs'

const root = dirname(dirname(fileURLToPath(import.meta.url)))

const graphs = ['graph-kernels', 'moves', 'portable', 'product', 'program', 'row-kernel'].map((name) => `graphs/${name}`)

const common = [
  ...graphs,
  'adapters',
  'cache',
  'linear',
  'pack-memory',
  'packed-file',
  'step',
  'stored-rows',
  'thread-pool',
  'kernels/portable',
]

// Graphs are for training, where no two instruction sets have to agree to the bit.
const fused = '-ffp-contract=fast'
const avx2 = ['-mavx2', '-mfma', '-mf16c']

/** Source files below src/ without `.cc`, each with the flags of its own. */
const sources = {
  x64: {
    'instruction-sets-x64': [],
    'kernels/avx2': avx2,
    'graphs/avx2': [...avx2, fused],
    'graphs/amx': [
      '-mamx-tile',
      '-mamx-bf16',
      '-mavx512bf16',
      '-mavx512f',
      '-mavx512bw',
      '-mavx512dq',
      '-mavx512vl',
      '-mfma',
      '-mprefer-vector-width=512',
      fused,
    ],
    'graphs/avx512': ['-mavx512f', '-mavx512bw', '-mavx512dq', '-mavx512vl', '-mfma', '-mprefer-vector-width=512', fused],
    'kernels/amx': ['-mamx-tile', '-mamx-int8', '-mgfni', '-mavx512f', '-mavx512bw', '-mavx512dq', '-mavx512vl', '-mfma'],
    'kernels/avxvnni': [...avx2, '-mavxvnni'],
    'kernels/avx512vnni': ['-mavx512f', '-mavx512bw', '-mavx512dq', '-mavx512vl', '-mavx512vnni', '-mfma', '-mf16c'],
  },
  arm64: {
    'instruction-sets-arm64': [],
    'kernels/neon-dot': ['-march=armv8.2-a+dotprod'],
    'kernels/neon-i8mm': ['-march=armv8.2-a+dotprod+i8mm'],
  },
}

/** What a program of test/ needs besides the file of its own name, below test/. */
const programs = {
  fuzz: {},
  packing: {},
  kernels: { x64: { 'avxvnni-in-words': avx2 } },
  limits: {},
  products: {},
  stress: {},
  'without-tiles': {},
}

/** CPUs that there is code for. */
export const architectures = Object.keys(sources)

/** Debian's names, and those of most others. */
const crossCompilers = { x64: 'x86_64-linux-gnu-g++', arm64: 'aarch64-linux-gnu-g++' }

// Contraction would fuse multiplications and additions as the compiler likes, and differently for each instruction set.
const flags = ['-std=c++17', '-O3', '-ffp-contract=off', '-fno-math-errno', '-fvisibility=hidden', '-Wall', '-Wextra']
// GCC 12 takes the undefined values in its own AVX-512 header for a mistake.
const kernelFlags = ['-Wno-uninitialized', '-Wno-maybe-uninitialized', '-Wno-unknown-warning-option']

// Names of the compiler's libraries are kept from Node's own copies of them.
const standaloneFlags = ['-static-libstdc++', '-static-libgcc', '-Wl,--exclude-libs,ALL', '-s']

/** The command that compiles, for what it is asked for. */
function compilerOf({ arch, zig, platform, standalone }) {
  if (zig) return zigCompiler(zig, platform)
  const crosses = arch !== process.arch
  if (!sources[arch] || process.platform === 'win32' || (crosses && process.platform !== 'linux'))
    throw new Error(`there is no build for ${process.platform}-${arch} yet`)
  return {
    command: crosses ? crossCompilers[arch] : process.env.CXX || 'c++',
    words: [],
    module: process.platform === 'darwin' ? ['-bundle', '-undefined', 'dynamic_lookup'] : ['-shared'],
    standalone: standalone && process.platform === 'linux' ? standaloneFlags : [],
  }
}

function run(command, args) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: ['ignore', 'inherit', 'pipe'] })
    let text = ''
    child.stderr.on('data', (data) => {
      text += data
    })
    child.on('error', reject)
    child.on('close', (code) => (code === 0 ? resolve(text) : reject(new Error(text || `${command} ended with ${code}`))))
  })
}

/** Files to compile, as paths below the package without `.cc`, each with the flags of its own. */
function filesOf(arch, platform, program) {
  const system = platform === 'win32' ? 'windows' : 'posix'
  const more = program ? { [program]: [], ...programs[program][arch] } : {}
  return [
    ...Object.entries(sources[arch]).map(([name, own]) => [`src/${name}`, own]),
    ...[...common, `mapped-file-${system}`, `source-file-${system}`, `target-file-${system}`].map((name) => [`src/${name}`, []]),
    ...(program
      ? []
      : [
          ['src/binding', []],
          ['src/pack-binding', []],
          ['src/probe', []],
          ['src/bus-error', []],
          [`src/interrupts-${system}`, []],
          ['src/graphs/graph-binding', []],
        ]),
    ...Object.entries(more).map(([name, own]) => [`test/${name}`, own]),
  ]
}

/**
 * @param program a program of test/ to build instead of the module
 * @param sanitize what goes behind `-fsanitize=`
 * @param arch the CPU to build for, as Node spells it; another than this one's needs its cross compiler on Linux
 * @param standalone link the compiler's own libraries in and leave names out: a module for other machines
 * @param zig compile with zig for this target of its, as `x86_64-linux-musl`; `platform` is then that target's
 * @returns the path of what was built; throws what the compiler said
 */
export async function build({
  program,
  sanitize,
  arch = process.arch,
  standalone = false,
  zig,
  platform = process.platform,
} = {}) {
  if (program && !programs[program]) throw new Error(`there is no program ${program}`)
  const compiler = compilerOf({ arch, zig, platform, standalone })
  const include = createRequire(import.meta.url)('node-api-headers').include_dir
  const extra = sanitize ? [`-fsanitize=${sanitize}`, '-g', '-O1', '-fno-sanitize-recover=all'] : []
  const kind = [program, standalone && 'standalone', arch !== process.arch && arch, zig, sanitize].filter(Boolean).join('-')
  const folder = join(root, 'build', kind || 'Release')
  const objects = join(folder, `objects-${process.pid}`)
  for (const below of ['src/kernels', 'src/graphs', 'test']) mkdirSync(join(objects, below), { recursive: true })
  try {
    const files = filesOf(arch, platform, program)
    const object = (name) => join(objects, `${name}.o`)
    const posix = platform === 'win32' ? [] : ['-fPIC', '-pthread']
    const waiting = files.map(([name, own]) => () => {
      const warnings = own.length > 0 || name.startsWith('src/kernels/') ? kernelFlags : []
      const from = join(root, `${name}.cc`)
      return run(compiler.command, [
        ...compiler.words,
        ...flags,
        ...posix,
        ...warnings,
        ...(zig ? own.map(zigFlag) : own),
        ...extra,
        '-isystem',
        include,
        '-c',
        from,
        '-o',
        object(name),
      ])
    })
    const workers = Array.from({ length: Math.min(4, availableParallelism()) }, async () => {
      for (let next = waiting.shift(); next; next = waiting.shift()) process.stderr.write(await next())
    })
    await Promise.all(workers)
    const link = [...(program ? [] : compiler.module), ...posix, ...(standalone ? compiler.standalone : [])]
    const target = join(folder, program ?? 'parscale.node')
    // Into place in one go: whoever loads it meanwhile keeps the old one.
    await run(compiler.command, [
      ...compiler.words,
      ...link,
      ...extra,
      ...files.map(([name]) => object(name)),
      ...(platform === 'win32' ? nodeImports(objects) : []),
      '-o',
      `${target}.${process.pid}`,
    ])
    renameSync(`${target}.${process.pid}`, target)
    return target
  } finally {
    rmSync(objects, { recursive: true, force: true })
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const options = { program: { type: 'string' }, sanitize: { type: 'string' }, arch: { type: 'string' } }
  process.stdout.write(`${await build(parseArgs({ options }).values)}\n`)
}
