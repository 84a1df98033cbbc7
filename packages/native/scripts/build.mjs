// Compiles the native module with the system's C++ compiler into build/Release/parscale.node. A small script instead of node-gyp:
// that one fetches Node's headers from a host of its own; these come from the package registry (node-api-headers).
//   node scripts/build.mjs                    the module
//   node scripts/build.mjs --stress thread    test/stress.cc as a program, with a sanitizer: address,undefined or thread
import { spawn } from 'node:child_process'
import { mkdirSync, renameSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { availableParallelism } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))

const common = ['cache', 'linear', 'packed-file', 'step', 'thread-pool']

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

/**
 * @param stress build the stress program with this sanitizer instead of the module
 * @returns the path of what was built; throws what the compiler said
 */
export async function build({ stress } = {}) {
  const own = sources[process.arch]
  if (!own || process.platform === 'win32') throw new Error(`there is no build for ${process.platform}-${process.arch} yet`)
  const compiler = process.env.CXX || 'c++'
  const include = createRequire(import.meta.url)('node-api-headers').include_dir
  const extra = stress ? [`-fsanitize=${stress}`, '-g', '-O1', '-fno-sanitize-recover=all'] : []
  const folder = join(root, 'build', stress ? `stress-${stress}` : 'Release')
  const objects = join(folder, `objects-${process.pid}`)
  for (const below of ['src/kernels', 'test']) mkdirSync(join(objects, below), { recursive: true })
  try {
    const entry = stress ? 'test/stress' : 'src/binding'
    const files = [
      ...Object.entries(own).map(([name, more]) => [`src/${name}`, more]),
      ...[...common, 'kernels/portable'].map((name) => [`src/${name}`, []]),
      [entry, []],
    ]
    const object = (name) => join(objects, `${name}.o`)
    const waiting = files.map(([name, more]) => () => {
      const warnings = name.startsWith('src/kernels/') ? kernelFlags : []
      const from = join(root, `${name}.cc`)
      return run(compiler, [...flags, ...warnings, ...more, ...extra, '-isystem', include, '-c', from, '-o', object(name)])
    })
    const workers = Array.from({ length: Math.min(4, availableParallelism()) }, async () => {
      for (let next = waiting.shift(); next; next = waiting.shift()) process.stderr.write(await next())
    })
    await Promise.all(workers)
    const module = process.platform === 'darwin' ? ['-bundle', '-undefined', 'dynamic_lookup'] : ['-shared']
    const link = [...(stress ? [] : module), '-pthread']
    const target = join(folder, stress ? 'stress' : 'parscale.node')
    // Into place in one go: whoever loads it meanwhile keeps the old one.
    await run(compiler, [...link, ...extra, ...files.map(([name]) => object(name)), '-o', `${target}.${process.pid}`])
    renameSync(`${target}.${process.pid}`, target)
    return target
  } finally {
    rmSync(objects, { recursive: true, force: true })
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [flag, stress] = process.argv.slice(2)
  process.stdout.write(`${await build(flag === '--stress' ? { stress } : {})}\n`)
}
