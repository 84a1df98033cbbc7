/** A bench that is killed outright: nobody is left behind, and the next one cleans up. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { openWorkplace } from './workplace.ts'

test.runIf(process.platform === 'linux')('its process that measures ends with it', async () => {
  const cache = await mkdtemp(join(tmpdir(), 'parscale-killed-'))
  const cli = JSON.stringify(fileURLToPath(new URL('../cli.ts', import.meta.url)))
  const flags = 'bench --shape 0.5B --layers 1 --vocab 256 --p 1 --context 8 --steps 2 --rounds 99'
  const script = `import { run } from ${cli}; run(['node', 'parscale', ...${JSON.stringify(flags.split(' '))}])`
  const bench = spawn(process.execPath, ['--import', 'tsx', '--conditions=source', '--input-type=module', '-e', script], {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { ...process.env, PARSCALE_CACHE: cache },
  })
  await new Promise<void>((resolve) => bench.stderr.on('data', (text) => /^1\//m.test(String(text)) && resolve()))
  // The next turn has begun, or begins now.
  let measuring: number[] = []
  while (measuring.length === 0) {
    await sleep(5)
    measuring = await workersOf(bench.pid!)
  }
  bench.kill('SIGKILL')
  await once(bench, 'exit')

  while ((await Promise.all(measuring.map(isAlive))).includes(true)) await sleep(20)
  expect(await readdir(join(cache, 'bench'))).toEqual([expect.stringMatching(`^\\.run\\.partial-${bench.pid}-`)])
  await (await openWorkplace(cache)).close()
  expect(await readdir(join(cache, 'bench'))).toEqual([])
  await rm(cache, { recursive: true })
})

/** Children of a process that are workers of ours: tsx has some of its own. */
async function workersOf(pid: number): Promise<number[]> {
  const children = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8')
  const found: number[] = []
  for (const child of children.trim().split(' ').filter(Boolean)) {
    const command = await readFile(`/proc/${child}/cmdline`, 'utf8').catch(() => '')
    if (command.includes('bench/worker.ts')) found.push(Number(child))
  }
  return found
}

const isAlive = (pid: number): Promise<boolean> =>
  readFile(`/proc/${pid}/stat`, 'utf8').then(
    (stat) => !/\) [ZX] /.test(stat),
    () => false,
  )
