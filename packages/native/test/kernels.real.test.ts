/**
 * Every instruction set, on this CPU and on others that qemu plays: which one is chosen, and that all give the bits of the portable
 * one. Needs qemu-user, and Debian's cross compiler for arm64.
 */
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { describe, expect, it } from 'vitest'
import { fixturesFolder } from '../../core/src/testing/fixtures.ts'
import { build, run } from './support/programs.ts'
import { packFolder } from './support/streams.ts'

const architectures = {
  x64: { qemu: 'qemu-x86_64', libraries: '/usr/x86_64-linux-gnu', objdump: 'x86_64-linux-gnu-objdump' },
  arm64: { qemu: 'qemu-aarch64', libraries: '/usr/aarch64-linux-gnu', objdump: 'aarch64-linux-gnu-objdump' },
}
type Architecture = keyof typeof architectures

/** Runs a program on a CPU that qemu knows by this name. */
async function onCpu(arch: Architecture, cpu: string, program: string, args: readonly string[] = []): Promise<string> {
  const { qemu, libraries } = architectures[arch]
  const root = arch === process.arch ? [] : ['-L', libraries]
  return (await run(qemu, [...root, '-cpu', cpu, program, ...args])).stdout
}

/** What qemu takes minutes for. */
const nightly = process.env.PARSCALE_NIGHTLY !== undefined

const kernelsFor = (arch: Architecture): Promise<string> => build({ program: 'kernels', arch })

describe('all instruction sets give the portable bits', () => {
  // The number stands for all results. It changes only when the arithmetic does.
  const bits = /bits ([0-9a-f]{16})\nok\n$/

  it('on this CPU, as on an Armv8.6 and an Armv8.2', async () => {
    const here = (await run(await kernelsFor(process.arch as Architecture))).stdout
    const arm = await kernelsFor('arm64')
    const best = await onCpu('arm64', 'max', arm)
    expect(best).toMatch(/^neon-i8mm\nneon-dot\nportable\n/)
    const older = await onCpu('arm64', 'neoverse-n1', arm)
    expect(older).toMatch(/^neon-dot\nportable\n/)
    const [first, ...others] = [here, best, older].map((text) => bits.exec(text)?.[1])
    expect(first).toBeDefined()
    for (const other of others) expect(other).toBe(first)
  })

  it('in packed files', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'parscale-packing-'))
    const [here, arm] = [join(folder, 'here'), join(folder, 'arm')]
    expect((await run(await build({ program: 'packing' }), [here])).stdout).toBe('ok\n')
    expect(await onCpu('arm64', 'max', await build({ program: 'packing', arch: 'arm64' }), [arm])).toBe('ok\n')
    expect((await readFile(`${arm}.packed`)).equals(await readFile(`${here}.packed`))).toBe(true)
    await rm(folder, { recursive: true })
  })

  it.runIf(nightly)('in steps of many threads on arm64', async () => {
    const packed = await packFolder(`${fixturesFolder}transformers/mistral-window`)
    expect(await onCpu('arm64', 'max', await build({ program: 'stress', arch: 'arm64' }), [packed.backbone])).toBe('ok\n')
    packed.remove()
  })
})

describe('the instruction set', () => {
  it.each([
    ['arm64', 'cortex-a53', ['portable']],
    ...(nightly
      ? ([
          ['x64', 'max', ['avx2', 'portable']],
          ['x64', 'qemu64', ['portable']],
        ] as const)
      : []),
  ] as const)('on %s, %s: %o, and it runs', async (arch, cpu, expected) => {
    const lines = (await onCpu(arch, cpu, await kernelsFor(arch))).trim().split('\n')
    expect(lines.slice(0, -2)).toEqual(expected)
    expect(lines.at(-1)).toBe('ok')
  })

  it.each(['max,-avx2', 'max,-fma', 'max,-f16c', 'max,-xsave'])('on x64, %s: portable', async (cpu) => {
    expect(await onCpu('x64', cpu, await kernelsFor('x64'), ['names'])).toBe('portable\n')
  })

  // Bits that an x64 CPU with everything says of itself. No qemu of Debian's plays AVX-512 or AVX-VNNI.
  const everything = {
    leaf1c: [12, 27, 28, 29],
    leaf7b: [5, 16, 17, 30, 31],
    leaf7c: [8, 11],
    leaf7d: [24, 25],
    leaf7part1a: [4],
    kept: [1, 2, 5, 6, 7, 17, 18],
  }
  const all = ['amx', 'avx512vnni', 'avxvnni', 'avx2', 'portable']
  const withoutAvx512 = all.slice(2)
  it.each([
    ['nothing', {}, all],
    ['AMX', { leaf7d: [24] }, all.slice(1)],
    ["AMX's integers", { leaf7d: [25] }, all.slice(1)],
    ['GFNI', { leaf7c: [8] }, all.slice(1)],
    ["AMX's shapes, by the system", { kept: [17] }, all.slice(1)],
    ["AMX's tiles, by the system", { kept: [18] }, all.slice(1)],
    ['AVX-512 F', { leaf7b: [16] }, withoutAvx512],
    ['AVX-512 DQ', { leaf7b: [17] }, withoutAvx512],
    ['AVX-512 BW', { leaf7b: [30] }, withoutAvx512],
    ['AVX-512 VL', { leaf7b: [31] }, withoutAvx512],
    ['AVX-512 VNNI', { leaf7c: [11] }, withoutAvx512],
    ['the wide registers, by the system', { kept: [5, 6, 7] }, withoutAvx512],
    ['AVX-VNNI', { leaf7part1a: [4] }, ['amx', 'avx512vnni', 'avx2', 'portable']],
    ['both kinds of VNNI', { leaf7c: [11], leaf7part1a: [4] }, ['avx2', 'portable']],
    ['AVX2', { leaf7b: [5] }, ['portable']],
    ['FMA', { leaf1c: [12] }, ['portable']],
    ['F16C', { leaf1c: [29] }, ['portable']],
    ['AVX registers, by the system', { kept: [2] }, ['portable']],
    ['the question what the system keeps', { leaf1c: [27] }, ['portable']],
  ] as const)('with %s masked', async (_, masked: Partial<Record<string, readonly number[]>>, expected) => {
    const words = Object.entries(everything).map(([name, set]) =>
      set.filter((bit) => !masked[name]?.includes(bit)).reduce((word, bit) => word + 2 ** bit, 0),
    )
    const program = await kernelsFor('x64')
    const { stdout } = await run(program, words.map(String))
    expect(stdout.trim().split('\n')).toEqual(expected)
    const refused = await run(program, [...words.map(String), 'refused'])
    expect(refused.stdout.trim().split('\n')).toEqual(expected.filter((name) => name !== 'amx'))
  })
})

describe.runIf(process.platform === 'linux' && process.arch === 'x64')('a Linux that refuses tiles', () => {
  it('gets the next best kernels, and is told', async () => {
    const refusing = await build({ program: 'without-tiles' })
    const { stdout } = await run(refusing, [await kernelsFor('x64'), 'names'])
    expect(stdout).not.toContain('amx')
    const here = (await run(await kernelsFor('x64'), ['names'])).stdout
    expect(`amx\n${stdout}`.includes(here)).toBe(true)
    const script = "import { nativeDecoders } from '@parscale/native'; console.log(nativeDecoders.runsWith)"
    const node = [process.execPath, '--import', 'tsx', '--conditions=source', '--input-type=module', '-e', script]
    const said = (await run(refusing, node)).stdout.trim()
    const best = stdout.split('\n')[0]
    expect(said).toBe(here.startsWith('amx') ? `${best}, as the system refuses amx` : best)
  })
})

describe('compiled code', () => {
  /** Instructions of a program by the function they stand in. */
  async function functions(arch: Architecture): Promise<Map<string, string>> {
    const program = await kernelsFor(arch)
    const { objdump } = architectures[arch]
    const { stdout } = await run(objdump, ['-d', '-C', '-w', '--no-show-raw-insn', program], { maxBuffer: 1 << 30 })
    const parts = stdout.split(/^[0-9a-f]+ <(.*)>:$/m)
    return new Map(parts.flatMap((name, i) => (i % 2 === 1 ? [[name, parts[i + 1]!] as const] : [])))
  }

  // An inline function that two files share would be linked once, compiled for the better CPU.
  it('for one instruction set is never linked into what all CPUs run', async () => {
    const found = { avx512: 0, avx2: 0, vnni: 0, other: 0 }
    for (const [name, code] of await functions('x64')) {
      if (/Avx512Vnni|Avx512Graph|AmxGraph|AmxTiles/.test(name)) found.avx512 += Number(code.includes('%zmm'))
      else if (/Avx2|AvxVnni/.test(name)) {
        expect(code, name).not.toMatch(/%zmm|%ymm(1[6-9]|2\d|3[01])|%k[1-7]/)
        found.avx2 += Number(code.includes('%ymm'))
        if (/AvxVnni(?!InWords)/.test(name)) found.vnni += Number(code.includes('{vex} vpdpbusd'))
        else expect(code, name).not.toContain('vpdpbusd')
      } else {
        expect(code, name).not.toMatch(/%[yz]mm|\tv(add|mul|mov|cvt|sub|comi|ucomi|xor|max|min|broadcast)/)
        found.other++
      }
    }
    for (const count of Object.values(found)) expect(count).toBeGreaterThan(2)
  })

  it('for arm64: dot products only where the CPU has them', async () => {
    const found = { sdot: 0, usdot: 0 }
    for (const [name, code] of await functions('arm64')) {
      const [sdot, usdot] = [/\tsdot\t/.test(code), /\tusdot\t/.test(code)]
      found.sdot += Number(sdot)
      found.usdot += Number(usdot)
      if (!name.includes('NeonDot')) expect(sdot, name).toBe(false)
      if (!name.includes('NeonI8mm')) expect(usdot, name).toBe(false)
    }
    for (const count of Object.values(found)) expect(count).toBeGreaterThan(2)
  })
})
