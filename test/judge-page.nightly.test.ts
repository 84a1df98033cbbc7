/** Programs judged in a page beside the sandbox of processes: HumanEval's right ones and a mutant of each, and all of fixtures/hostile. */
import { createServer } from 'node:net'
import { describe, expect, it } from 'vitest'
import { hostilePrograms } from '../packages/parscale/src/sandbox/testing/hostile.ts'
import { humanEval } from '../packages/parscale/src/sandbox/testing/human-eval.ts'
import { hasBubblewrap, judged } from '../packages/parscale/src/sandbox/testing/judged.ts'
import { mutants } from '../packages/parscale/src/sandbox/testing/mutants.ts'
import { noBrowser } from './support/browser.ts'
import { judgedInPage, judgePages } from './support/judge-page.ts'

/** What the worker has of its own, in its memory: files, and sockets that lead nowhere. On a machine these would be escapes. */
const own = [
  ...['reads /home', 'reads /dev/tty', 'opens more files than it may', 'makes itself root os.chown("/tmp", 0, 0)'],
  ...['/new', '/judge.py', '/dev/new', '/proc/new', '/lib/new', '/proc/sysrq-trigger', '../new'].map((path) => `writes ${path}`),
  ...['STREAM', 'DGRAM'].map((kind) => `opens a socket AF_INET, socket.SOCK_${kind}`),
  ...['127.0.0.1', 'localhost', '10.0.0.1', '169.254.169.254', 'example.com'].map((host) => `calls out ${host}`),
]

describe.skipIf(noBrowser)('in Chromium', { timeout: 3_600_000 }, () => {
  const pages = judgePages()

  it.runIf(hasBubblewrap)('gives the verdicts of the sandbox', async () => {
    const problems = await humanEval()
    const samples = problems.flatMap(({ taskId, canonical }, i) =>
      mutants(canonical!, 2, i).map((completion) => ({ task_id: taskId, completion })),
    )
    const started = performance.now()
    const found = await judgedInPage(pages.page, problems, samples)
    console.info(`${samples.length} programs judged in the page in ${((performance.now() - started) / 1000).toFixed(0)} s`)
    const expected = await judged(problems, samples)
    const passes = found.filter(({ verdict }) => verdict === 'pass').length
    expect(passes).toBeGreaterThanOrEqual(problems.length)
    expect(passes).toBeLessThan(samples.length - 80)
    const differ = samples.flatMap((sample, i) =>
      (found[i]!.verdict === 'pass') === (expected[i]!.judgement.verdict === 'pass')
        ? []
        : [{ ...sample, page: found[i], sandbox: expected[i]!.judgement }],
    )
    expect(differ).toEqual([])
  })

  it('passes no hostile program', async () => {
    let connections = 0
    const server = createServer((socket) => {
      connections++
      socket.destroy()
    })
    await new Promise<void>((resolve) => server.listen(0, '0.0.0.0', resolve))
    const { port } = server.address() as { port: number }
    const programs = hostilePrograms({ CANARY: '/tmp/canary', HOSTPID: '2', HOSTPORT: String(port) })
    const problem = {
      task_id: 'f',
      prompt: '',
      entry_point: 'f',
      test: 'def check(candidate):\n    for x in (12345, 678901):\n        assert candidate(x) == 2 * x\n',
    }
    const found = await judgedInPage(
      pages.page,
      [problem],
      programs.map(({ program }) => ({ task_id: 'f', solution: program })),
      { seconds: 2 },
    )
    server.close()
    const passed = programs.filter((_, i) => found[i]!.verdict === 'pass').map(({ name }) => name)
    expect(passed.filter((name) => !own.includes(name))).toEqual([])
    expect(connections).toBe(0)
    expect(await pages.page.evaluate(() => 1 + 1)).toBe(2)
  })
})
