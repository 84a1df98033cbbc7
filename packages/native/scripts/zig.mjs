// zig as a compiler for other platforms: `zig` on PATH, or ZIG, which may hold words, as `python3 -m ziglang`.
import { execFileSync } from 'node:child_process'
import { createRequire } from 'node:module'
import { join } from 'node:path'

const zigCommand = () => (process.env.ZIG || 'zig').split(' ')

/** GCC's name of an Arm architecture, as zig spells it: it has no `-march`. */
export const zigFlag = (flag) => flag.replace(/^-march=armv8\.(\d)-a/, '-mcpu=generic+v8_$1a')

/** The command that compiles for a target. It links its C++ library in by itself. */
export function zigCompiler(target, platform) {
  const [command, ...words] = zigCommand()
  return {
    command,
    words: [...words, 'c++', '-target', target],
    module: platform === 'darwin' ? ['-shared', '-undefined', 'dynamic_lookup'] : ['-shared'],
    standalone: ['-s'],
  }
}

/**
 * Windows' linker wants to know where Node's functions will be found: import libraries of `node.exe`, of the names that
 * node-api-headers lists. Gives their paths below `folder`.
 */
export function nodeImports(folder) {
  const [command, ...words] = zigCommand()
  return Object.entries(createRequire(import.meta.url)('node-api-headers').def_paths).map(([name, names]) => {
    const library = join(folder, `${name}.lib`)
    execFileSync(command, [...words, 'dlltool', '-m', 'i386:x86-64', '-d', names, '-l', library])
    return library
  })
}
