/** The bar of a training run at real terminals: whole figures at any width, and nothing of it left behind. */
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { canOpenTerminals, TestTerminal } from '../testing/terminal.ts'

let folder: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'parscale-bar-'))
  writeFileSync(join(folder, 'text.txt'), Array.from({ length: 60 }, (_, i) => `Paragraph ${i} of the whale`).join('\n\n'))
})
afterAll(() => rmSync(folder, { recursive: true }))

const settings =
  'train pretrain --separator \\n\\n --p 1 --steps 40 --hidden-size 32 --layers 1 --heads 2 --vocab-size 300 --batch-size 2 ' +
  '--sequence-length 16 --evaluate-every 10 --held-out 0.2 --threads 1 --set sample.tokens=0'

describe.runIf(canOpenTerminals)('the bar', () => {
  it.each([40, 80, 120])('at %i columns', async (columns) => {
    const out = join(folder, `run-${columns}`)
    const terminal = new TestTerminal([...settings.split(' '), '--data', join(folder, 'text.txt'), '--out', out], {
      columns,
      env: { PARSCALE_CACHE: join(folder, 'cache') },
    })
    expect(await terminal.ended(), await terminal.screen()).toBe(0)
    const bars = terminal.written
      .split('\r\u001b[2K')
      .filter((line) => /^(training {2})?loss /.test(line))
      .map((line) => line.split(/[\r\n]/)[0]!)
    expect(bars.length).toBeGreaterThan(0)
    for (const bar of bars) {
      expect(bar.length).toBeLessThan(columns)
      expect(bar).toMatch(
        /^training {2}loss \d+\.\d{3}( {2}\[[#-]{20}\])?( {2}\d+%)?( {2}\d+\/40)?( {2}[\d.]+ steps\/s)?( {2}ETA \d+:\d\d)?( {2}[\d.]+( k)? tok\/s)?( {2}\d+ GFLOP\/s)?$/,
      )
    }
    const screen = await terminal.screen()
    expect(screen).not.toMatch(/tok\/s|steps\/s|\[#/)
    expect(screen).toMatch(/^step 40: held-out loss/m)
    expect(screen).toMatch(/training loss, steps 1 to 40\n\d+\.\d{3} \|.*[▁▂▃▄▅▆▇█]/)
    expect(terminal.written.replace(/\s+/g, ' ')).toContain(`loss curve: ${join(out, 'loss.svg')}`)
    expect(existsSync(join(out, 'loss.svg'))).toBe(true)
  })
})
