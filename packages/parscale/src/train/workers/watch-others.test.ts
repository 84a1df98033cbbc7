/** Real processes: one is killed, the other notices, says so and ends. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import process from 'node:process'
import { expect, it } from 'vitest'
import { ownHome } from './watch-others.ts'

const watching = `
  import { ownHome, watchOthers } from ${JSON.stringify(new URL('./watch-others.ts', import.meta.url).href)}
  const home = await ownHome()
  watchOthers([{ ...home, pid: Number(process.argv[1]) }, home, { ...home, host: 'elsewhere', pid: 1 << 30 }], 1, (text) => console.error(text))
  console.log('watching')
  setInterval(() => {}, 1000)
`

it('ends with another one on this computer, not with one that it cannot see', async () => {
  const other = spawn('sleep', ['60'])
  const worker = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', watching, String(other.pid)])
  let talk = ''
  worker.stderr.setEncoding('utf8').on('data', (text: string) => {
    talk += text
  })
  await once(worker.stdout, 'data')
  other.kill('SIGKILL')
  const [code] = await once(worker, 'close')
  expect(code).toBe(1)
  const { host } = await ownHome()
  expect(talk).toBe(
    `worker 0 of 3 on ${host} (process ${other.pid}) is gone, and the others end with it; go on with: parscale train --resume RUN\n`,
  )
})
