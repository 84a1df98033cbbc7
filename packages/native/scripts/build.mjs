// Compiles the native module with the system's C++ compiler into build/Release/parscale.node. A small script instead of node-gyp:
// that one fetches Node's headers from a host of its own; these come from the package registry (node-api-headers).
//   node scripts/build.mjs [--sanitize address|undefined|thread]
import { spawn } from 'node:child_process'
import { mkdirSync, renameSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { availableParallelism } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))

const common = ['binding', 'cache', 'linear', 'packed-file', 'step', 'thread-pool']

/** Source files below src/ without `.cc`, each with the flags of its own. */
const sources = {
  x64: {
    'instruction-sets-x64': [],
    'kernels/avx2': ['-mavx2', '-mfma', '-mf16c'],
    'kernels/avxvnni': ['-mavx2', '-mfma', '-mf16c', '-mavxvnni'],
    'kernels/avx512vnni': ['-mavx512f', '-mavx512bw', '-mavx512dq', '-mavx512vl', '-mavx512vnni', '-mfma', '-mf16c'],
  },
  arm64: {
    'instruction-sets-arm64': [],
    'kernels/neon-dot': ['-march=armv8.2-a+dotprod'],
    'kernels/neon-i8mm': ['-march=armv8.2-a+dotprod+i8mm'],
  },
}

// Contraction would fuse multiplications and additions as the compiler likes, and differently for each instruction set.
const flags = ['-std=c++17', '-O3', '-fPIC', '-ffp-contract=off', '-fno-math-errno', '-fvisibility=hidden', '-Wall', '-Wextra']
// GCC 12 takes the undefined values in its own AVX-512 header for a mistake.
const kernelFlags = ['-Wno-uninitialized', '-Wno-maybe-uninitialized']

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

/** @returns the path of the built module; throws what the compiler said */
export async function build({ sanitize } = {}) {
  const own = sources[process.arch]
  if (!own || process.platform === 'win32') throw new Error(`there is no build for ${process.platform}-${process.arch} yet`)
  const compiler = process.env.CXX || 'c++'
  const include = createRequire(import.meta.url)('node-api-headers').include_dir
  const extra = sanitize ? [`-fsanitize=${sanitize}`, '-g', '-fno-omit-frame-pointer', '-fno-sanitize-recover=all'] : []
  const folder = join(root, 'build', sanitize ? `sanitize-${sanitize}` : 'Release')
  const objects = join(folder, `objects-${process.pid}`)
  mkdirSync(join(objects, 'kernels'), { recursive: true })
  try {
    const files = [...Object.entries(own), ...[...common, 'kernels/portable'].map((name) => [name, []])]
    const object = (name) => join(objects, `${name}.o`)
    const waiting = files.map(([name, more]) => () => {
      const warnings = name.startsWith('kernels/') ? kernelFlags : []
      const from = join(root, 'src', `${name}.cc`)
      return run(compiler, [...flags, ...warnings, ...more, ...extra, '-isystem', include, '-c', from, '-o', object(name)])
    })
    const workers = Array.from({ length: Math.min(4, availableParallelism()) }, async () => {
      for (let next = waiting.shift(); next; next = waiting.shift()) process.stderr.write(await next())
    })
    await Promise.all(workers)
    const link = process.platform === 'darwin' ? ['-bundle', '-undefined', 'dynamic_lookup'] : ['-shared', '-pthread']
    const target = join(folder, 'parscale.node')
    // Into place in one go: whoever loads it meanwhile keeps the old one.
    await run(compiler, [...link, ...extra, ...files.map(([name]) => object(name)), '-o', `${target}.${process.pid}`])
    renameSync(`${target}.${process.pid}`, target)
    return target
  } finally {
    rmSync(objects, { recursive: true, force: true })
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const at = process.argv.indexOf('--sanitize')
  process.stdout.write(`${await build({ sanitize: at > 0 ? process.argv[at + 1] : undefined })}\n`)
}
