/** Values that no flag gives: environment before configuration file before defaults, and what is wrong in the file. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { runHere } from '../testing/run-here.ts'

let folder: string
let file: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'parscale-config-'))
  file = join(folder, 'config.toml')
})
afterAll(() => rmSync(folder, { recursive: true }))

async function run(config: string, args: string[], env: NodeJS.ProcessEnv = {}) {
  writeFileSync(file, config)
  return await runHere(args, { ...env, PARSCALE_CONFIG: file, HF_HOME: folder })
}

const cost = ['cost', '1.6B', '--json']

describe('the configuration file', () => {
  it('goes before defaults, behind the environment and flags', async () => {
    const p = async (config: string, ...flags: string[]) => JSON.parse((await run(config, [...cost, ...flags])).stdout).P
    expect(await p('')).toBe(1)
    expect(await p('[cost]\np = 4\n')).toBe(4)
    expect(await p('[cost]\np = 4\n', '--p', '8')).toBe(8)
    // --threads counts from 1: what is taken shows in the refusal.
    const threads = async (config: string) => (await run(config, ['generate', '--prompt', 'x', '--max-tokens', '1', '-v'])).stderr
    expect(await threads('threads = 0\n')).toMatch(/config\.toml, line 1: threads = 0: it must be a whole number of at least 1/)
    vi.stubEnv('PARSCALE_THREADS', '2')
    expect(await threads('threads = 0\n')).toContain('1 new token,')
    vi.unstubAllEnvs()
  })

  it('takes lists, negated options, either spelling, and shared keys that a command does not have', async () => {
    const generate = ['generate', '--prompt', 'One', '--temperature', '0', '--json']
    const { stdout } = await run('device = "cpu"\n[generate]\nmax_tokens = 3\nstop = ["@@", "##"]\n', generate)
    expect(JSON.parse(stdout).tokens).toHaveLength(3)
    expect((await run('device = "cpu"\n', ['models', '--size', '3B'])).code).toBe(0)
  })

  it.each([
    ['[generate]\n\ntemprature = 1\n', /config\.toml, line 3: generate has no option temprature; did you mean temperature\?/],
    ['thread = 4\n', /line 1: there is no key thread for all commands; did you mean threads\?/],
    [
      '# ours\ntemperature = 4\n',
      /line 2: there is no key temperature for all commands; there are device, engine, .* \[generate\]/,
    ],
    ['[genrate]\np = 2\n', /line 1: there is no command genrate; did you mean generate\?/],
    ['[generate]\np = "many"\n', /line 2: p = "many": it must be a whole number/],
    ['[generate]\nstreams = 1\n', /line 2: streams: expected true or false, got 1/],
    ['[generate]\np = { n = 2 }\n', /line 2: p: expected a number or a text/],
    ['[generate\n', /line 1: is not TOML: /],
  ])('says what is wrong and where: %j', async (config, message) => {
    const { code, stderr } = await run(config, ['generate', '--prompt', 'x', '--max-tokens', '1'])
    expect([code, stderr]).toEqual([2, expect.stringMatching(message)])
  })

  it('that is named and not there is an error', async () => {
    const { code, stderr } = await runHere(['models'], { PARSCALE_CONFIG: join(folder, 'none.toml') })
    expect([code, stderr]).toEqual([2, expect.stringMatching(/none\.toml: there is no such file; .*PARSCALE_CONFIG/)])
  })
})

describe('how loud a command is', () => {
  const args = ['generate', '--prompt', 'One', '--max-tokens', '1', '--seed', '1']
  it('--quiet leaves the result, and failures', async () => {
    const loud = await run('', args)
    const quiet = await run('', [...args, '--quiet'])
    expect(loud.stderr).toContain('[P = 8')
    expect(quiet).toEqual({ code: 0, stdout: loud.stdout, stderr: '' })
    expect((await run('quiet = true\n', args)).stderr).toBe('')
    expect((await run('', args, { PARSCALE_QUIET: '1' })).stderr).toBe('')
    expect((await run('', args, { PARSCALE_QUIET: '0' })).stderr).toContain('[P = 8')
    expect((await run('', ['generate', './none', '-q'])).stderr).toMatch(
      /^parscale: \.\/none: there is no such file or folder\n$/,
    )
  })

  it('--verbose says the engine, the file and what it took; not both', async () => {
    const { stderr } = await run('[generate]\ntop-k = 5\n', [...args, '-v'])
    expect(stderr).toMatch(/^configuration: .*config\.toml\nengine: \w+ \(.*\)\n[\s\S]*took [\d.]+ s, peak memory \d+ MiB\n$/)
    expect((await run('quiet = true\n', [...args, '-v'])).stderr).toContain('engine: ')
    expect((await run('', [...args, '-q', '-v'])).stderr).toContain('--quiet cannot be used with')
  })
})
