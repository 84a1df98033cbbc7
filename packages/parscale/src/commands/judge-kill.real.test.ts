/** `parscale judge` ended at random moments, by kill -9 and by Ctrl-C: no result lost or doubled, no process left. */
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { setTimeout as sleep } from 'node:timers/promises'
import { createRandom } from '@parscale/core/internal'
import { it as always, expect } from 'vitest'
import { cliPath } from '../package-files.ts'
import { hasBubblewrap } from '../sandbox/testing/judged.ts'
import { judges } from '../sandbox/testing/run-hostile.ts'

const it = always.runIf(hasBubblewrap)

/** 200 by `npm run test:nightly`. */
const kills = Number(process.env.PARSCALE_KILLS ?? 8)
const count = 40

it('loses nothing', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'parscale-judge-kill-'))
  try {
    const [samples, problems, out] = ['samples.jsonl', 'problems.jsonl', 'out.jsonl'].map((name) => join(folder, name))
    await writeFile(
      problems!,
      `${JSON.stringify({ task_id: 'T', prompt: 'def f():\n', entry_point: 'f', test: 'def check(c): c()' })}\n`,
    )
    const lines = Array.from({ length: count }, (_, i) =>
      JSON.stringify({ task_id: 'T', completion: '    import time; time.sleep(0.05)', i }),
    )
    await writeFile(samples!, `${lines.join('\n')}\n`)
    const random = createRandom(5)
    const run = async (endsAfterMs?: number, signal: NodeJS.Signals = 'SIGKILL') => {
      const words = ['judge', samples!, '--problems', problems!, '--out', out!, '--allow-code', '--resume', '--json']
      const child = spawn(process.execPath, [cliPath, ...words], { stdio: ['ignore', 'pipe', 'inherit'] })
      let said = ''
      child.stdout.on('data', (text) => {
        said += text
      })
      const ended = new Promise<number | null>((resolve) => child.on('close', resolve))
      if (endsAfterMs !== undefined) {
        await Promise.race([sleep(endsAfterMs), ended])
        child.kill(signal)
      }
      const code = await ended
      // The kernel ends the sandboxes of a process that is gone.
      for (let tries = 0; tries < 3000 && judges().length > 0; tries++) await sleep(20)
      expect(judges()).toEqual([])
      return { code, said }
    }
    const results = async () =>
      (await readFile(out!, 'utf8'))
        .split('\n')
        .slice(0, -1)
        .map((line) => JSON.parse(line).i as number)
    let whole = 0
    for (let i = 0; i < kills; i++) {
      const { code } = await run(200 + random.below(2500), i % 4 === 3 ? 'SIGINT' : 'SIGKILL')
      if (!existsSync(out!)) continue
      const found = await results()
      expect(found).toEqual(Array.from({ length: found.length }, (_, at) => at))
      if (code === 0 || found.length === count) {
        whole++
        await rm(out!)
      }
    }
    const { code, said } = await run()
    expect(code).toBe(0)
    expect(JSON.parse(said).verdicts.pass).toBe(count)
    expect(await results()).toEqual(Array.from({ length: count }, (_, at) => at))
    console.info(`${kills} kills, ${whole + 1} whole runs`)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
})
